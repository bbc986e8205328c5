"""What a retraction names: the earlier event that it undoes, by its `event_id` or by its place in the log."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from penstock.flow import EventPlace

LARGEST_INT32: Final = 2**31 - 1
LARGEST_INT64: Final = 2**63 - 1


class PlaceDocument(msgspec.Struct, kw_only=True, gc=False):
    """`retracts` as an object, as it stands on the wire; what is missing or out of range is said by validation."""

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    row: int | None = None


Target = str | PlaceDocument
"""What an event's `retracts` holds."""


def problem_of(target: Target) -> str | None:
    """What is wrong with it, as the end of a sentence; None if nothing is."""
    if isinstance(target, str):
        return None if target else "retracts is empty; it must be an event_id or an object with a place"
    if not target.topic:
        return "retracts.topic is missing or empty; it must name the label topic"
    for name, value, largest in (
        ("partition", target.partition, LARGEST_INT32),
        ("offset", target.offset, LARGEST_INT64),
        ("row", target.row or 0, LARGEST_INT32),
    ):
        if value is None:
            return f"retracts.{name} is missing or null; it must be an integer of 0 or more"
        if not 0 <= value <= largest:
            return f"retracts.{name} is {value}; it must be from 0 to {largest}"
    return None


def named(target: Target) -> EventPlace | str:
    """The event that a target without problems names."""
    if isinstance(target, str):
        return target
    assert target.topic is not None
    assert target.partition is not None
    assert target.offset is not None
    return EventPlace(topic=target.topic, partition=target.partition, offset=target.offset, row=target.row or 0)


def targets_of(values: list[Any]) -> Sequence[Target | None] | None:
    """The values if any event retracts another; None if none does."""
    return None if values.count(None) == len(values) else values
