"""Replicas that die, stand still or load slowly in a swap: the others answer on, the laggard catches up."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from configurations import configuration, question
from line import Line, line, served_version
from penstock.adapters.kafka.update_log import KafkaUpdateLog
from penstock.adapters.mlflow.artifacts import ArtifactStore
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.failpoints import NAMES
from penstock.flow import ModelUpdate
from penstock.learning.learner import Learner
from penstock.settings import load
from scraped import scraped
from served_models import batch_of, update_with
from torture.fault import Fault, Figures
from torture.workspace import Workspace
from unsteady_proxy import FAIR, UnsteadyProxy, Weather
from verifying.answers import Asking, assert_answers_hold
from verifying.updates import acceptable
from waiting import wait_for

SWAP_STEPS = tuple(name for name in NAMES if name.startswith("swap."))
SHORT_STEPS = 2
WHILE_IT_STANDS = 40
"""Updates that are announced while a replica stands still."""
WHILE_IT_DRIPS = 12
DRIP_SECONDS = {False: 20, True: 60}
"""For the weights of one version."""
MOST_BUILT = 3
"""Of those, by a laggard that goes straight to the newest: what it was about to build, the newest, and one between."""


@dataclass(frozen=True, kw_only=True)
class Announcing:
    """In a trainer's place: real weights, announced as often as a try wants."""

    line: Line
    log: KafkaUpdateLog
    learner: Learner
    epoch: int

    def announce(self, version: int, store: ArtifactStore | None = None) -> ModelUpdate:
        """One more step, one more update; its weights in the `store`, if there is one, else inline."""
        model = load(self.line.config, {}).model
        self.learner.learn(batch_of(model, 40, classes=5, seed=version))
        _, weights = self.learner.capture(
            epoch=self.epoch, version=version, mlflow_run_id=None, full_reservoir=version == 1
        )
        update = update_with(weights, version=version, epoch=self.epoch, model=model.name)
        if store is not None:
            update = replace(update, inline=None, uri=store.put(weights))
        self.log.append(update)
        return update


@contextmanager
def announcing(workspace: Workspace) -> Iterator[Announcing]:
    """A model with its topics made and its claim staked."""
    model = workspace.new_model()
    text = configuration(model, workspace.kafka.bootstrap_servers, workspace.directory / "state")
    with line(workspace.directory, workspace.kafka.bootstrap_servers, model, text, workspace.nursery) as running:
        assert running.run("topics", "create").returncode == 0
        settings, log = load(running.config, {}), KafkaUpdateLog(running.kafka, model)
        try:
            learner = Learner(
                settings.model, settings.training, settings.replay, topic=running.topics.labels, max_events=64
            )
            yield Announcing(line=running, log=log, learner=learner, epoch=log.claim("torture").claim.epoch)
        finally:
            log.close()


def play_killed(workspace: Workspace, seed: int) -> Figures:
    """One replica dies at each step of a swap, one answers all the while."""
    chance = random.Random(seed)
    steps = list(SWAP_STEPS) if workspace.is_long else chance.sample(SWAP_STEPS, SHORT_STEPS)
    with announcing(workspace) as trainer:
        running = trainer.line
        newest = trainer.announce(1)
        _, url = running.start_replica()
        wait_for(lambda: served_version(url, running.model) == 1, "the other replica serves")
        with Asking(url, running.model, question(1, label=0)) as other:
            for step in steps:
                victim = running.start("serve", "--port", "0", environ={"PENSTOCK_FAILPOINTS": f"{step}=kill@2"})
                listening = wait_for(lambda v=victim: v.says("listening"), "the victim listens")  # type: ignore[misc]
                _wait_until_served(str(listening["url"]), running.model, newest.version)
                newest = trainer.announce(newest.version + 1)
                assert victim.wait() == -signal.SIGKILL, f"at {step} the replica left with {victim.wait()}"
                newest = trainer.announce(newest.version + 1)
                again, again_url = running.start_replica()
                _wait_until_served(again_url, running.model, newest.version)
                wait_for(partial(_swapped, again_url), "the swap is counted")
                assert _swapped(again_url) == 1, "a replica that starts goes straight to the newest"
                again.kill()
            _wait_until_served(url, running.model, newest.version)
        assert_answers_hold(other.answers, acceptable(running.kafka, running.model))
    return {"swaps in which a replica died": float(len(steps))}


def play_stopped(workspace: Workspace, seed: int) -> Figures:
    """One replica stands still while many updates go by, one answers all the while."""
    chance = random.Random(seed)
    with announcing(workspace) as trainer:
        running = trainer.line
        newest = trainer.announce(1)
        laggard, laggard_url = running.start_replica()
        _, url = running.start_replica()
        _wait_until_served(laggard_url, running.model, 1)
        _wait_until_served(url, running.model, 1)
        with Asking(url, running.model, question(1, label=0)) as other:
            for _ in range(chance.randrange(3)):
                newest = trainer.announce(newest.version + 1)
            os.kill(laggard.pid, signal.SIGSTOP)
            before = newest.version
            for _ in range(WHILE_IT_STANDS):
                newest = trainer.announce(newest.version + 1)
                _wait_until_served(url, running.model, newest.version - 5)
                if workspace.is_long:
                    other.pause(60 / WHILE_IT_STANDS)
            _wait_until_served(url, running.model, newest.version)
            os.kill(laggard.pid, signal.SIGCONT)
            with Asking(laggard_url, running.model, question(1, label=0)) as late:
                _wait_until_served(laggard_url, running.model, newest.version)
            built = _swapped(laggard_url) - before
            assert built <= MOST_BUILT, (
                f"the laggard served {built:.0f} of the {WHILE_IT_STANDS} versions it had missed"
            )
        accepted = acceptable(running.kafka, running.model)
        assert_answers_hold(other.answers, accepted)
        assert_answers_hold(late.answers, accepted)
    return {"versions that the laggard built": built}


def play_dripping(workspace: Workspace, seed: int) -> Figures:
    """One replica reaches MLflow through a line that drips, one has a good line; most weights travel by URI."""
    chance = random.Random(seed)
    server = workspace.mlflow()
    with UnsteadyProxy(seed=seed) as front, announcing(workspace) as trainer:
        front.upstream = server.port
        running = trainer.line
        store = ArtifactStore(MlflowConfig(tracking_uri=server.tracking_uri), running.model)
        newest = trainer.announce(1, store)
        reaching = {"PENSTOCK_MLFLOW__TRACKING_URI": server.tracking_uri}
        good = running.start("serve", "--port", "0", environ=reaching)
        slow = running.start(
            "serve", "--port", "0", environ=reaching | {"PENSTOCK_MLFLOW__TRACKING_URI": f"http://{front.address}"}
        )
        url, slow_url = (str(wait_for(lambda r=r: r.says("listening"), "it listens")["url"]) for r in (good, slow))  # type: ignore[misc]
        _wait_until_served(url, running.model, 1)
        _wait_until_served(slow_url, running.model, 1)
        question_ = question(1, label=0)
        with Asking(url, running.model, question_) as other, Asking(slow_url, running.model, question_) as late:
            front.turn(Weather(bytes_per_second=newest.size_bytes // DRIP_SECONDS[workspace.is_long]))
            began, before = time.monotonic(), newest.version
            for _ in range(WHILE_IT_DRIPS):
                newest = trainer.announce(newest.version + 1, store)
                _wait_until_served(url, running.model, newest.version)
                other.pause(chance.uniform(0, 0.1))
            assert late.newest_version < newest.version, "the line did not drip"
            front.turn(FAIR)
            _wait_until_served(slow_url, running.model, newest.version)
            seconds = time.monotonic() - began
        built = _swapped(slow_url) - before
        assert built <= MOST_BUILT, (
            f"the laggard served {built:.0f} of the {WHILE_IT_DRIPS} versions that were announced"
        )
        accepted = acceptable(running.kafka, running.model)
        assert_answers_hold(other.answers, accepted)
        assert_answers_hold(late.answers, accepted)
    return {"versions that the laggard built": built, "drip, s": seconds}


def _wait_until_served(url: str, model: str, version: int) -> None:
    wait_for(lambda: served_version(url, model) >= version, f"{url} serves version {version}", every_seconds=0.01)


def _swapped(url: str) -> float:
    """How many versions a replica has swapped in."""
    return scraped(f"{url}/metrics").get("penstock_swap_seconds_count", 0.0)


REPLICA_KILLED = Fault(
    number=15,
    title="a replica killed in a swap",
    injected="kill -9 of a replica at each step of a swap, while another is asked without pause",
    must_hold="the other answers every request and follows; the one started again goes straight to the newest",
    short_tries=1,
    long_tries=5,
    play=play_killed,
)
REPLICA_STOPPED = Fault(
    number=15,
    title="a replica that stands still",
    injected=f"SIGSTOP of a replica for a minute while {WHILE_IT_STANDS} versions are announced, then SIGCONT",
    must_hold="the other answers every request and follows; the laggard goes straight to the newest",
    short_tries=1,
    long_tries=3,
    play=play_stopped,
)
REPLICA_DRIPPING = Fault(
    number=15,
    title="a download that drips",
    injected=f"weights reach one replica over a line that drips, while {WHILE_IT_DRIPS} versions are announced",
    must_hold="both answer every request; the other follows at once; the laggard goes straight to the newest",
    short_tries=1,
    long_tries=3,
    play=play_dripping,
)
