"""Trainers started at the same instant: one goes on, the others leave with a sentence, and every replica agrees."""

import random
from functools import partial
from pathlib import Path

from configurations import configuration, events, question
from line import Line, Process, line
from penstock.flow import Claim
from torture.fault import Fault, Figures
from torture.workspace import Workspace
from verifying.answers import Asking, assert_answers_hold
from verifying.topics import update_entries
from verifying.updates import acceptable, assert_log_of_one_writer
from waiting import wait_for

EVENTS = 300


def play(workspace: Workspace, seed: int, *, num_trainers: int) -> Figures:
    """All claim at once; events come while they settle who goes on."""
    model = workspace.new_model()
    text = configuration(model, workspace.kafka.bootstrap_servers, Path("STATE"))
    chance = random.Random(seed)
    with line(workspace.directory, workspace.kafka.bootstrap_servers, model, text, workspace.nursery) as running:
        assert running.run("topics", "create").returncode == 0
        urls = [running.start_replica()[1] for _ in range(2)]
        trainers = [_trainer(running, number) for number in range(num_trainers)]
        produced = running.produce(events(EVENTS, seed=chance.randrange(1000)))
        with Asking(urls[0], model, question(1, label=0)) as one, Asking(urls[1], model, question(1, label=0)) as two:
            running.wait_until_announced(produced)
            wait_for(partial(_one_is_left, trainers), "all trainers but one have left")
            produced += running.produce(events(EVENTS, seed=seed, start=EVENTS))
            last = running.wait_until_announced(produced)
            for asking in (one, two):
                wait_for(lambda asking=asking: asking.newest_version >= last.version, "replicas agree")  # type: ignore[misc]
        claims = [entry.record for entry in update_entries(running.kafka, running.topics.updates)]
        winner = max((record for record in claims if isinstance(record, Claim)), key=lambda claim: claim.epoch)
        (survivor,) = [trainer for trainer in trainers if trainer.is_running]
        assert f":{survivor.pid}:" in winner.holder, f"{winner.holder} claimed last, {survivor.pid} went on"
        assert last.epoch == winner.epoch, f"epoch {last.epoch} is announced, {winner.epoch} is claimed"
        for trainer in trainers:
            if trainer is not survivor:
                assert trainer.wait() == 1, f"a fenced trainer left with {trainer.wait()}"
                assert "another trainer has taken over" in trainer.last_words(), trainer.text()
                assert "Traceback" not in trainer.text(), trainer.text()
        accepted = acceptable(running.kafka, model)
        assert_log_of_one_writer(running.kafka, model)
        assert_answers_hold(one.answers, accepted)
        assert_answers_hold(two.answers, accepted)
        return {"claims": float(sum(isinstance(record, Claim) for record in claims))}


def _trainer(running: Line, number: int) -> Process:
    return running.start_trainer({"PENSTOCK_STATE__DIRECTORY": str(running.directory / f"state-{number}")})


def _one_is_left(trainers: list[Process]) -> bool:
    return sum(trainer.is_running for trainer in trainers) == 1


TWO_TRAINERS = Fault(
    number=4,
    title="two trainers at once",
    injected="two trainers of one model are started at the same instant",
    must_hold="exactly one goes on, the other leaves with a sentence, all replicas serve the one's versions",
    short_tries=1,
    long_tries=20,
    play=partial(play, num_trainers=2),
)
TEN_TRAINERS = Fault(
    number=4,
    title="ten trainers at once",
    injected="ten trainers of one model are started at the same instant",
    must_hold="exactly one goes on, nine leave with a sentence, all replicas serve the one's versions",
    short_tries=1,
    long_tries=5,
    play=partial(play, num_trainers=10),
)
