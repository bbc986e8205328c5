"""The broker stopped, killed, cut off, far away: training resumes by itself, nothing is lost, freshness returns."""

import random
import time

from configurations import configuration, events
from kafka_brokers import create_model_topics
from line import Line, Process, line
from penstock.adapters.kafka.local_kafka import LocalKafka
from scraped import metrics_url, scraped
from torture.fault import Fault, Figures
from torture.letters_waiting import killed_while_a_letter_waits
from torture.workspace import Workspace
from unsteady_proxy import FAIR, UnsteadyProxy, Weather
from verifying.learnt import assert_learnt_exactly
from verifying.topics import places, read_topic
from verifying.updates import assert_log_of_one_writer
from waiting import wait_for

EVENTS = 40
CUT_SECONDS = 1.0
BETWEEN_CUTS_SECONDS = 5.0
FRESH_AGAIN_SECONDS = 10.0
FAR_AWAY = Weather(latency_seconds=(0.05, 0.5), bytes_per_second=40_000)
PROPERTIES = {
    "log.flush.interval.messages": 1,  # what is acknowledged survives kill -9
    "broker.session.timeout.ms": 1500,
    "broker.heartbeat.interval.ms": 200,
}


class Outage:
    """A line whose every byte to and from the broker passes a proxy, and what has been produced and measured so far."""

    def __init__(self, running: Line, trainer: Process, chance: random.Random) -> None:
        self.running = running
        self.trainer = trainer
        self.chance = chance
        self.produced = 0
        self.figures: dict[str, list[float]] = {}

    def produce(self) -> None:
        """Some events; returns once they are acknowledged, however long that takes."""
        self.produced += self.running.produce(events(EVENTS, seed=self.produced, start=self.produced))

    def measure(self, when: str) -> float:
        """Seconds from an event's production to weights that have learnt it and are announced."""
        url, began = metrics_url(self.trainer), time.time()
        self.produced += self.running.produce(events(1, seed=self.produced, start=self.produced))

        def announced() -> bool:
            assert self.trainer.is_running, self.trainer.text()
            return scraped(url)["penstock_model_trained_until_timestamp_seconds"] >= began - 0.001

        wait_for(announced, f"an event is learnt and announced {when}", every_seconds=0.02)
        seconds = time.time() - began
        self.figures.setdefault(f"freshness {when}, s", []).append(seconds)
        return seconds


def play(workspace: Workspace, seed: int) -> Figures:
    """One after the other on one line; the long form takes the times that the table names."""
    chance, model, state = random.Random(seed), workspace.new_model(), workspace.directory / "state"
    with UnsteadyProxy(seed=seed) as proxy, workspace.own_kafka(PROPERTIES, advertised_port=proxy.port) as broker:
        proxy.upstream = int(broker.bootstrap_servers.rpartition(":")[2])
        create_model_topics(proxy.address, model, label_partitions=2)
        text = configuration(model, proxy.address, state)
        with line(workspace.directory, proxy.address, model, text, workspace.nursery) as running:
            outage = Outage(running, running.start_trainer(), chance)
            outage.produce()
            outage.measure("before")
            _far_away(outage, proxy)
            _cut(outage, proxy, times=4 if workspace.is_long else 1)
            _killed(outage, broker)
            if workspace.is_long:
                _stopped(outage, broker)
            assert outage.trainer.stop() == 0, outage.trainer.text()
            assert_learnt_exactly(state, model, places(read_topic(running.kafka, running.topics.labels)), [])
            assert_log_of_one_writer(running.kafka, model)
        learnt = killed_while_a_letter_waits(workspace, broker, proxy.address, seed)
    return {**outage.figures, "events learnt without a broker": learnt}


def _far_away(outage: Outage, proxy: UnsteadyProxy) -> None:
    proxy.weather = FAR_AWAY
    outage.produce()
    outage.measure("far away")
    proxy.weather = FAIR
    _assert_fresh_again(outage)


def _cut(outage: Outage, proxy: UnsteadyProxy, *, times: int) -> None:
    for number in range(times):
        proxy.turn(Weather(refuses=True))
        time.sleep(CUT_SECONDS)  # how long the cut is
        proxy.turn(FAIR)
        outage.produce()
        if number < times - 1:
            time.sleep(BETWEEN_CUTS_SECONDS - CUT_SECONDS)  # and the time from one to the next
    outage.measure("right after")
    _assert_fresh_again(outage)


def _killed(outage: Outage, broker: LocalKafka) -> None:
    broker.kill()
    broker.start()
    outage.produce()
    outage.measure("right after")
    _assert_fresh_again(outage)


def _stopped(outage: Outage, broker: LocalKafka) -> None:
    broker.stop()
    time.sleep(outage.chance.uniform(5, 60))  # how long the outage is
    broker.start()
    outage.produce()
    outage.measure("right after")
    _assert_fresh_again(outage)


def _assert_fresh_again(outage: Outage) -> None:
    seconds = outage.measure("again")
    assert seconds < FRESH_AGAIN_SECONDS, f"after an outage an event takes {seconds:.1f} s to be learnt and announced"


BROKER_AWAY = Fault(
    number=5,
    title="a broker away, cut off, far away",
    injected="all traffic delayed by 50 to 500 ms and dripping at 40 kB/s, one-second cuts every five seconds, kill -9 "
    "of the broker and restart, another while a dead letter waits for it; in the long form also a stop of 5 to 60 s",
    must_hold="training resumes by itself, every event is learnt once (I1), versions only grow (I4), an event is fresh "
    "again within 10 s; what has been fetched is learnt without a broker, and no checkpoint passes the letter (I6)",
    short_tries=1,
    long_tries=10,
    play=play,
)
