"""A trainer that stands still, is replaced, and comes to again: nothing that it does then may count.

It is stopped where it would do the most harm: just before the append of an update that it has found itself entitled to,
just before it moves MLflow's alias, just after, or anywhere.
"""

import os
import random
import signal
from functools import partial
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from configurations import configuration, events, question
from line import Line, Process, line
from penstock.failpoints import Failpoint
from torture.fault import Fault, Figures
from torture.workspace import Workspace
from verifying.answers import Asking, assert_answers_hold
from verifying.updates import acceptable, announced, assert_log_of_one_writer, assert_records_whole
from waiting import wait_for

MOMENTS: tuple[Failpoint | None, ...] = (
    "announcement.not_fenced",
    "record.not_fenced",
    "record.uploaded",
    "checkpoint.renamed",
    "record.registered",
    None,
)
"""In turn, by seed; None is wherever it happens to be."""
EVENTS, BURST = 200, 20
FENCED = "another trainer has taken over"


def play(workspace: Workspace, seed: int) -> Figures:
    """Stopped at its second pass, once there is something of it to go on from."""
    moment = MOMENTS[seed % len(MOMENTS)]
    model, directory = workspace.new_model(), workspace.directory
    uri, chance = workspace.mlflow().tracking_uri, random.Random(seed)
    text = configuration(model, workspace.kafka.bootstrap_servers, directory / "zombie", tracking_uri=uri)
    text = text.replace("record_interval_seconds = 1.0", "record_interval_seconds = 0.1")
    with line(directory, workspace.kafka.bootstrap_servers, model, text, workspace.nursery) as running:
        assert running.run("topics", "create", "--partitions", "1").returncode == 0
        first = running.start_trainer()
        _, url = running.start_replica()
        produced = running.produce(events(EVENTS, seed=seed))
        running.wait_until_announced(produced)
        wait_for(lambda: _alias(uri, model), "there is a record to go on from")
        assert first.stop() == 0, first.text()

        zombie = running.start_trainer({"PENSTOCK_FAILPOINTS": f"{moment}=pause@2"} if moment else None)
        wait_for(lambda: zombie.says("learning on"), "the zombie-to-be learns")
        before = _version(running)
        while not _stands(zombie):
            produced += running.produce(events(BURST, seed=produced, start=produced))
            before = wait_for(partial(_stands_or_announces, zombie, running, before), "one more is announced")
            if moment is None:
                os.kill(zombie.pid, signal.SIGSTOP)
                wait_for(partial(_stands, zombie), "it stands still")

        with Asking(url, model, question(1, label=0)) as asking:
            second = running.start_trainer({"PENSTOCK_STATE__DIRECTORY": str(directory / "second")})
            produced += running.produce(events(EVENTS, seed=seed + 2, start=produced))
            newest = running.wait_until_announced(produced)
            wait_for(lambda: _alias(uri, model)[:1] == (newest.epoch,), "the second trainer records")
            produced += running.produce(events(chance.randrange(50, EVENTS), seed=seed + 3, start=produced))
            os.kill(zombie.pid, signal.SIGCONT)
            assert zombie.wait() == 1, f"the zombie left with {zombie.wait()}:\n{zombie.text()}"
            last = running.wait_until_announced(produced)
            wait_for(lambda: asking.newest_version >= last.version, "the replica serves the second trainer's newest")
        assert FENCED in zombie.last_words(), zombie.text()
        assert "Traceback" not in zombie.text(), zombie.text()
        assert "Bad file descriptor" not in zombie.text(), zombie.text()
        assert last.epoch == newest.epoch, f"the last update is of epoch {last.epoch}"
        assert second.stop() == 0, second.text()
        alias = _alias(uri, model)
        assert alias == (newest.epoch, last.version), f"the alias names epoch and version {alias}"
        assert_log_of_one_writer(running.kafka, model)
        accepted = acceptable(running.kafka, model)
        assert_answers_hold(asking.answers, accepted)
        assert_records_whole(uri, model)
        stale = len(announced(running.kafka, model)) - len(accepted)
    return {"updates appended by the fenced one": float(stale)}


def _stands(trainer: Process) -> bool:
    """True once the kernel holds it still."""
    return Path(f"/proc/{trainer.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _version(running: Line) -> int:
    update = running.newest_update()
    return update.version if update else 0


def _stands_or_announces(trainer: Process, running: Line, before: int) -> int:
    """The version that is newest now, once there is a newer one or the trainer stands still."""
    version = _version(running)
    return version if version > before or _stands(trainer) else 0


def _alias(uri: str, model: str) -> tuple[int, ...]:
    """Epoch and version that `live` names; empty while it names none."""
    try:
        tags = MlflowClient(uri).get_model_version_by_alias(model, "live").tags
    except MlflowException:
        return ()
    return int(tags["penstock.epoch"]), int(tags["penstock.version"])


ZOMBIE = Fault(
    number=3,
    title="a zombie trainer",
    injected="SIGSTOP the trainer between its look for a claim and the append, or the move of MLflow's alias, or "
    "elsewhere; start a second; SIGCONT the first",
    must_hold="the first publishes nothing that is accepted, leaves the alias to the second, exits with a sentence",
    short_tries=2,
    long_tries=30,
    play=play,
)
