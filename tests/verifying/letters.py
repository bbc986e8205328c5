"""I6: the dead-letter topic holds exactly the poison, bytes equal."""

from collections.abc import Mapping

from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.wire.dead_letter import CONNECT_PREFIX
from verifying.topics import Place, read_topic


def dead_letters(options: Mapping[str, KafkaValue], model: str) -> dict[Place, bytes | None]:
    """What was refused, by where it stood in the label topic.

    A letter may be there twice where its trainer was killed before the checkpoint that follows it: its bytes are equal.
    """
    found: dict[Place, bytes | None] = {}
    for message in read_topic(options, TopicNames(model).dead_letters):
        headers = dict(message.headers() or ())
        place = (int(headers[CONNECT_PREFIX + "partition"]), int(headers[CONNECT_PREFIX + "offset"]))
        value = message.value()
        assert found.get(place, value) == value, f"the two dead letters of {place} differ"
        found[place] = value
    return found


def assert_dead_lettered_exactly(
    options: Mapping[str, KafkaValue], model: str, poison: Mapping[Place, bytes | None]
) -> None:
    """I6, for `poison` by the place at which it was produced."""
    found = dead_letters(options, model)
    missing, strangers = sorted(poison.keys() - found.keys()), sorted(found.keys() - poison.keys())
    assert not missing, f"{len(missing)} poisonous events have no dead letter, the first at {missing[0]}"
    assert not strangers, f"{len(strangers)} good events are dead letters, the first at {strangers[0]}"
    changed = [place for place, value in poison.items() if found[place] != value]
    assert not changed, f"the bytes of the dead letter of {changed[0]} are not those that were produced"
