"""kill -9 at any moment changes nothing: the weights end bit for bit as if nothing had happened."""

import random
import shutil
from pathlib import Path

import pytest

from configurations import configuration, events, new_model
from learnt_state import kill_at_a_random_moment, learnt, same_end, watched
from line import line
from penstock.adapters.kafka.local_kafka import LocalKafka
from waiting import wait_for

KILLS = 20
EVENTS = 40_000
COUNT_ONLY = "max_events = 32\nmax_age_seconds = 0"
SLOW_ENOUGH_TO_BE_KILLED = "learning_rate = 0.003\ninner_steps = 48"


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
        drifting = (
            swapped(value) if number > EVENTS // 2 else value
            for number, value in enumerate(events(EVENTS - 1000, classes=6))
        )
        values = [*drifting, *poison, *events(1000, classes=7, seed=1)]
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
        assert watched(interrupted, model)["alarms"]["count"] > 0, "labels that change places are drift"


def swapped(value: bytes) -> bytes:
    """The event with the labels of two classes changed round."""
    if value.endswith(b'"class-0"}'):
        return value.replace(b'"class-0"}', b'"class-1"}')
    return value.replace(b'"class-1"}', b'"class-0"}')
