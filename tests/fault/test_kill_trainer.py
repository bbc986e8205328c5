"""kill -9 at any moment changes nothing: the weights end bit for bit as if nothing had happened."""

import hashlib
import json
import random
import shutil
import time
from pathlib import Path

import pytest

from configurations import configuration, events, new_model
from line import Process, line
from penstock.adapters.kafka.local_kafka import LocalKafka
from waiting import wait_for

KILLS = 20
EVENTS = 90_000
COUNT_ONLY = "max_events = 32\nmax_age_seconds = 0"
SLOW_ENOUGH_TO_BE_KILLED = "learning_rate = 0.003\ninner_steps = 48"


def newest_checkpoint(directory: Path, model: str) -> dict[str, object] | None:
    """The newest whole checkpoint's `checkpoint.json`, with the sha256 of its weights."""
    folders = sorted((directory / model / "checkpoints").glob("[0-9]*"))
    for folder in reversed(folders):
        try:
            manifest = json.loads((folder / "checkpoint.json").read_text())["checkpoint"]
            weights = (folder / "weights.safetensors").read_bytes()
        except FileNotFoundError:  # pruned while we looked
            continue
        return dict(manifest) | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    return None


def learnt(directory: Path, model: str) -> int:
    found = newest_checkpoint(directory, model)
    return int(str(found["events_learnt"])) if found else 0


@pytest.mark.parametrize("seed", [0])
def test_a_trainer_killed_twenty_times_ends_with_the_weights_of_an_uninterrupted_one(
    kafka: LocalKafka, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    model = new_model()
    interrupted, uninterrupted = tmp_path / "interrupted", tmp_path / "uninterrupted"
    text = configuration(
        model, kafka.bootstrap_servers, interrupted, intake=COUNT_ONLY, training=SLOW_ENOUGH_TO_BE_KILLED
    )
    with line(tmp_path, kafka.bootstrap_servers, model, text) as running:
        assert running.run("topics", "create", "--partitions", "3").returncode == 0
        poison = [b"not json"] * 17
        values = [*events(EVENTS - 1000, classes=6), *poison, *events(1000, classes=7, seed=1)]
        running.produce(values)

        for number in range(KILLS):
            trainer = running.start_trainer()
            kill_at_a_random_moment(trainer, interrupted, model, chance, while_starting=number % 4 == 3)
        assert 0 < learnt(interrupted, model) < EVENTS, "the kills came too late or too early to mean anything"

        running.start_trainer()
        wait_for(lambda: learnt(interrupted, model) == EVENTS, "every event is learnt exactly once", 120)

        shutil.copy(running.config, tmp_path / "second.toml")
        running.config.write_text(text.replace(str(interrupted), str(uninterrupted)))
        other = running.start_trainer()
        wait_for(lambda: learnt(uninterrupted, model) == EVENTS, "the uninterrupted run has learnt everything", 120)
        other.kill()
        assert same_end(interrupted, uninterrupted, model)


def kill_at_a_random_moment(
    trainer: Process, state: Path, model: str, chance: random.Random, *, while_starting: bool
) -> None:
    """kill -9 somewhere in its start, or somewhere in its learning, also between two checkpoints."""
    if while_starting:
        time.sleep(chance.uniform(0, 2.5))  # the moment of the kill is what is random here
    else:
        before = learnt(state, model)
        wait_for(lambda: learnt(state, model) > before, "the trainer learns on", every_seconds=0.01)
        time.sleep(chance.uniform(0, 0.4))  # as above
    trainer.kill()


def same_end(one: Path, other: Path, model: str) -> bool:
    """Both runs end at the same offsets, step and weights."""
    first, second = newest_checkpoint(one, model), newest_checkpoint(other, model)
    assert first is not None
    assert second is not None
    for key in ("offsets", "step", "events_learnt", "weights_sha256"):
        assert first[key] == second[key], key
    return True
