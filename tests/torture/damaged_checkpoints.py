"""Checkpoints that rot: the damage is found, the newest whole one is taken, and reading goes on at its offsets."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from configurations import configuration, events
from kafka_brokers import create_model_topics
from line import line
from penstock.adapters.disk.checkpoints import DiskCheckpoints, model_folder, whole_folders
from penstock.adapters.disk.folder import load_folder
from penstock.adapters.disk.manifest import TornCheckpointError
from sample_checkpoints import MODEL, SCHEMA, checkpoint_of, rows_of, weights_of
from torture.fault import Fault, Figures
from torture.workspace import Workspace
from verifying.learnt import assert_learnt_exactly, newest_checkpoint
from verifying.topics import places, read_topic
from waiting import wait_for

EVENTS = 80
SIXTEENTHS = 16
FLIPS_SHORT, FLIPS_LONG = 100, 1000
STORES_SHORT, STORES_LONG = 5, 50
"""So many of the damages are shown to a whole store too, with a sound checkpoint before the damaged one."""


def play_files(workspace: Workspace, seed: int) -> Figures:
    """Cuts, flipped bytes and missing files, each found by reading the folder; some of them by the whole store."""
    chance, directory = random.Random(seed), workspace.directory / "state"
    older, newest = _two_saved(directory)
    offsets = load_folder(older).offsets
    damages = [(file, _cut_to(share)) for file in sorted(newest.iterdir()) for share in range(SIXTEENTHS)]
    for _ in range(FLIPS_LONG if workspace.is_long else FLIPS_SHORT):
        damages.append((chance.choice(sorted(newest.iterdir())), _flipped(chance)))
    shown = set(chance.sample(range(len(damages)), STORES_LONG if workspace.is_long else STORES_SHORT))
    for number, (file, damage) in enumerate(damages):
        with _damaged(file, damage):
            _assert_found(newest)
            if number in shown:
                _assert_passed_over(directory, offsets.next)
    for file in sorted(newest.iterdir()):
        with _damaged(file, None):
            _assert_found(newest)
            _assert_passed_over(directory, offsets.next)
    aside = workspace.directory / "aside"
    newest.rename(aside)
    shutil.copytree(older, newest)
    _assert_found(newest)
    _assert_passed_over(directory, offsets.next)
    return {"damages found": float(len(damages) + len(list(aside.iterdir())) + 1)}


def play_trainer(workspace: Workspace, seed: int) -> Figures:
    """A stopped trainer's newest checkpoint is damaged; the next one goes on from the one before, and learns on."""
    chance, model, kafka = random.Random(seed), workspace.new_model(), workspace.kafka.bootstrap_servers
    state = workspace.directory / "state"
    create_model_topics(kafka, model, label_partitions=2)
    with line(workspace.directory, kafka, model, configuration(model, kafka, state), workspace.nursery) as running:
        trainer = running.start_trainer()
        for part in range(3):
            running.produce(events(EVENTS, seed=seed + part, start=part * EVENTS))
            running.wait_until_announced((part + 1) * EVENTS)
        assert trainer.stop() == 0, trainer.text()
        *_, older, newest = whole_folders(model_folder(state, model))
        wanted = load_folder(older).offsets
        file = chance.choice(sorted(newest.iterdir()))
        kind = chance.choice(("cut", "flipped", "missing", "swapped"))
        if kind == "swapped":
            shutil.rmtree(newest)
            shutil.copytree(older, newest)
        elif kind == "missing":
            file.unlink()
        else:
            damage = _cut_to(chance.randrange(SIXTEENTHS)) if kind == "cut" else _flipped(chance)
            _replace(file, damage(file.read_bytes()))
        again = running.start_trainer()
        running.produce(events(EVENTS, seed=seed + 3, start=3 * EVENTS))
        restored = wait_for(lambda: again.says("restored"), "the trainer restores")
        assert restored["offsets"] == wanted.to_json(), f"{kind}: {restored['offsets']} for {wanted.to_json()}"
        assert again.says("checkpoint is not whole, trying the one before"), again.text()

        def all_learnt() -> bool:
            assert again.is_running, again.text()
            checkpoint = newest_checkpoint(state, model)
            return checkpoint is not None and checkpoint.events_learnt == 4 * EVENTS

        wait_for(all_learnt, "all events are learnt")
        assert again.stop() == 0, again.text()
        assert_learnt_exactly(state, model, places(read_topic(running.kafka, running.topics.labels)), [])
    return {}


def _two_saved(directory: Path) -> tuple[Path, Path]:
    """Two checkpoints that share no file."""
    folders = []
    for step in (1, 2):
        store = DiskCheckpoints(directory, model=MODEL, schema_digest=SCHEMA, kept=3)
        folders.append(store.save(checkpoint_of(step, rows_of(range(5), step, full=True)), weights_of(step)))
        store.close()
    return folders[0], folders[1]


def _cut_to(share: int) -> Callable[[bytes], bytes]:
    return lambda whole: whole[: share * len(whole) // SIXTEENTHS]


def _flipped(chance: random.Random) -> Callable[[bytes], bytes]:
    at, change = chance.random(), chance.randrange(1, 256)

    def damage(whole: bytes) -> bytes:
        altered = bytearray(whole)
        altered[int(at * len(whole))] ^= change
        return bytes(altered)

    return damage


def _replace(file: Path, content: bytes) -> None:
    """In a file of its own: others may be links to the same one."""
    file.unlink()
    file.write_bytes(content)


@contextmanager
def _damaged(file: Path, damage: Callable[[bytes], bytes] | None) -> Iterator[None]:
    whole = file.read_bytes()
    if damage is None:
        file.unlink()
    else:
        _replace(file, damage(whole))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        file.write_bytes(whole)


def _assert_found(folder: Path) -> None:
    try:
        load_folder(folder)
    except TornCheckpointError:
        return
    raise AssertionError(f"a damaged checkpoint was taken for a whole one: {sorted(folder.iterdir())}")


def _assert_passed_over(directory: Path, offsets: object) -> None:
    store = DiskCheckpoints(directory, model=MODEL, schema_digest=SCHEMA, kept=3)
    try:
        found = store.load_newest()
    finally:
        store.close()
    assert found is not None
    assert found.offsets.next == offsets, f"reading would go on at {found.offsets.next}, not at {offsets}"


DAMAGED_FILES = Fault(
    number=9,
    title="damaged files",
    injected="each file of the newest checkpoint cut at each sixteenth, a byte changed anywhere (1,000 in a long try, "
    "100 in a short one), each file missing, the newest swapped for an older one",
    must_hold="each damage is found, the newest whole checkpoint is taken, and its offsets are gone on from",
    short_tries=1,
    long_tries=5,
    play=play_files,
)
DAMAGED_CHECKPOINT = Fault(
    number=9,
    title="a damaged newest checkpoint",
    injected="a file of a stopped trainer's newest checkpoint is cut, changed or removed, or all of it swapped for the "
    "one before",
    must_hold="the next trainer says so, seeks to the offsets of the one before, and learns every event once (I1)",
    short_tries=1,
    long_tries=20,
    play=play_trainer,
)
