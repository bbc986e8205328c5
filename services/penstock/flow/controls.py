"""What is asked of a model in its label topic beside learning, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from penstock.flow.label_log import EventPlace

ClassVerb = Literal["hibernate", "wake", "retire"]


@dataclass(frozen=True, kw_only=True)
class ClassRequest:
    """Put classes to sleep, wake them, or retire them for good: these `classes`, or all that only `tenant` has used."""

    verb: ClassVerb
    classes: tuple[str, ...] = ()
    tenant: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """Take in a class from a packet, under the name that the packet gives unless `name` is set."""

    packet: bytes = field(repr=False)
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class RetractionRequest:
    """Undo an earlier event, named by its place or its `event_id`.

    `event` is one row with the columns of `EventBatch.events`: features, label and weight as they were learnt.
    """

    event: pa.RecordBatch = field(repr=False)
    of: EventPlace | str


@dataclass(frozen=True, kw_only=True)
class Control:
    """A request with its place: `partition`, `offset` and `row` in the log, behind `at` rows of its batch's events."""

    at: int
    partition: int
    offset: int
    row: int
    request: ClassRequest | ImportRequest | RetractionRequest


ControlResult = Literal["applied", "unchanged", "refused"]
Exactness = Literal["exact", "approximate", "unverified"]
"""`unverified`: taken out as it was given, and nothing that is kept tells whether it was ever learnt."""


@dataclass(frozen=True, kw_only=True)
class ControlOutcome:
    """What became of a control; `sentence` says it to a person, `classes` are those it changed.

    `exactness` says of each head whether an event that was retracted has left it without a trace.
    """

    control: Control
    result: ControlResult
    classes: tuple[str, ...]
    sentence: str
    exactness: Mapping[str, Exactness] = field(default_factory=dict)
