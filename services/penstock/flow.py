"""The nouns: what flows down the line, in the order in which it is made.

Data goes one way: `EventBatch` → learner → `Checkpoint` → `ModelUpdate` → replicas. The single back-arrow is
resume: a `Checkpoint` sets the learner and the consumer's offsets at start. All values are frozen and keyword-only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[np.generic]
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, kw_only=True)
class Offsets:
    """The next offset to read, per partition of the label topic. Never the last one read."""

    next: Mapping[int, int] = field(default_factory=dict)

    def __getitem__(self, partition: int) -> int:
        return self.next.get(partition, 0)

    def advanced_to(self, later: "Offsets") -> "Offsets":
        """These offsets with every partition of `later` replaced by its value there."""
        return Offsets(next={**self.next, **later.next})

    def is_ahead_of(self, other: "Offsets") -> bool:
        """True if nothing is behind `other` and something is further."""
        partitions = set(self.next) | set(other.next)
        return all(self[p] >= other[p] for p in partitions) and any(self[p] > other[p] for p in partitions)

    def to_json(self) -> dict[str, int]:
        return {str(partition): offset for partition, offset in sorted(self.next.items())}

    @classmethod
    def from_json(cls, value: Mapping[str, int]) -> "Offsets":
        return cls(next={int(partition): offset for partition, offset in value.items()})


LossReason = Literal["retention", "truncated", "made-anew"]


@dataclass(frozen=True, kw_only=True)
class AcceptedLoss:
    """Events of a partition that an operator let go of: the model goes on at `resumed_at` instead of `wanted`.

    `retention`: the log began later than wanted. `truncated`: it ended earlier. `made-anew`: it is of another topic, so
    how many events of the old one were not yet learnt nobody knows (`num_events` is None).
    """

    partition: int
    wanted: int
    resumed_at: int
    reason: LossReason
    num_events: int | None
    accepted_at_ms: int


@dataclass(frozen=True, kw_only=True)
class LabelLog:
    """Which log a model has learnt: the topic's id (KIP-516), None where brokers have none, and what was let go of it.

    Offsets mean nothing in another topic of the same name.
    """

    topic_id: str | None = None
    losses: tuple[AcceptedLoss, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Plain values."""
        return {"topic_id": self.topic_id, "losses": [cast(dict[str, Json], asdict(loss)) for loss in self.losses]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "LabelLog":
        """The inverse of `to_json`. Raises `TypeError` or `KeyError` for what it never wrote."""
        return cls(topic_id=value["topic_id"], losses=tuple(AcceptedLoss(**loss) for loss in value["losses"]))


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
class EventPlace:
    """Where an event stands in the log; `row` is its position within its message."""

    topic: str
    partition: int
    offset: int
    row: int = 0


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


def _no_integers() -> npt.NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


def _no_keys() -> npt.NDArray[np.uint64]:
    return np.empty(0, dtype=np.uint64)


def _no_flags() -> npt.NDArray[np.bool_]:
    return np.empty(0, dtype=np.bool_)


def _no_floats() -> npt.NDArray[np.float64]:
    return np.empty(0, dtype=np.float64)


ClosedBy = Literal["size", "age", "end"]


@dataclass(frozen=True, kw_only=True)
class JudgedAnswers:
    """Answers of one version that late labels have judged: `right` of `events` were the label."""

    version: int
    events: int
    right: int


@dataclass(frozen=True, kw_only=True)
class EventBatch:
    """A closed micro-batch of valid events, columnar.

    `events` has one column per feature (see `wire.columns`) and `label` string, `weight` float64, `partition` int32,
    `offset` int64, `row` int32 (position within its message), `timestamp_ms` int64 (Kafka's). It may have no rows
    when all its messages were invalid; `offsets` moves on all the same. `age_seconds` is how long it was open. Where
    any of its events has a tenant there is one more column, `tenant` string, null for those that have none.

    `controls` stand in the order of the log, each at its place among the events. `read_until_ms` is the horizon up to
    which predictions are joined to labels, 0 where none are; `judged` says, by version, how good those joined were.
    `seen` uint64 are what `intake.repeats` is to be given again after a restart, in order; empty where it is off.
    """

    events: pa.RecordBatch
    offsets: Offsets
    closed_by: ClosedBy
    age_seconds: float
    controls: tuple[Control, ...] = ()
    read_until_ms: int = 0
    judged: tuple[JudgedAnswers, ...] = ()
    seen: npt.NDArray[np.uint64] = field(default_factory=_no_keys, compare=False, repr=False)

    def slices(self, max_events: int) -> Iterator[pa.RecordBatch]:
        """The events in order, at most `max_events` at a time (one Arrow message may hold many more)."""
        for start in range(0, self.events.num_rows, max_events):
            yield self.events.slice(start, max_events)

    def pieces(self, max_events: int) -> Iterator["pa.RecordBatch | Control"]:
        """Events and controls in their one order, at most `max_events` of the events at a time, and at least one."""
        start = 0
        for control in self.controls:
            yield from self._between(start, control.at, max_events)
            yield control
            start = control.at
        yield from self._between(start, self.events.num_rows, max_events)

    def _between(self, start: int, stop: int, max_events: int) -> Iterator[pa.RecordBatch]:
        for first in range(start, stop, max_events):
            yield self.events.slice(first, min(max_events, stop - first))


@dataclass(frozen=True, kw_only=True)
class RefusedEvent:
    """An event that decodes and that the learner does not take: its place, and why in a sentence for a person."""

    partition: int
    offset: int
    row: int
    sentence: str


ControlResult = Literal["applied", "unchanged", "refused"]
Exactness = Literal["exact", "approximate"]


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


@dataclass(frozen=True, kw_only=True)
class DriftAlarm:
    """The share of wrong predictions rose from `before` to `after`, more than chance allows.

    `number` counts alarms from 1 over the life of the model. `at_ms` is the Kafka timestamp of the newest event then,
    `at_event` and `at_step` how many had been learnt; `num_after` scored events of known classes lie after the change.
    `classes` are the established ones that lost most, worst first. `recovered_after_events` and `_seconds` (by Kafka's
    timestamps) count from the alarm until the errors of the last hundred scored events or so were back within a fifth
    of the rise.
    """

    number: int
    at_ms: int
    at_event: int
    at_step: int
    before: float
    after: float
    num_after: int
    classes: tuple[str, ...]
    recovered_after_events: int | None = None
    recovered_after_seconds: float | None = None
    contradicted: Mapping[str, float] | None = None
    """Once judged: classes whose remembered rows contradict the new ones, with by how many nats they are worse."""

    @property
    def size(self) -> float:
        """By how much the share of wrong predictions rose."""
        return self.after - self.before

    def to_json(self) -> dict[str, Json]:
        """Plain values."""
        return cast(dict[str, Json], asdict(self) | {"classes": list(self.classes)})

    @classmethod
    def from_json(cls, value: Json) -> "DriftAlarm":
        """The inverse of `to_json`. Raises `TypeError` or `KeyError` for what it never wrote."""
        fields = cast(Mapping[str, Any], value)
        return cls(**{**fields, "classes": tuple(fields["classes"])})


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What one micro-batch brought to light: alarms raised, recovered from and judged, early warnings begun."""

    raised: tuple[DriftAlarm, ...] = ()
    recovered: tuple[DriftAlarm, ...] = ()
    judged: tuple[DriftAlarm, ...] = ()
    warnings: int = 0


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """The meaning of these classes' labels has changed; what was learnt of them before `began_at` is given up."""

    classes: tuple[str, ...]
    step: int
    began_at: int
    """The number of the event, counted from the first one ever learnt."""
    rows_dropped: int
    at_ms: int = 0
    """Kafka timestamp of the newest event when it was raised."""


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What learning one micro-batch showed; scores are of predictions made before the rows were learnt.

    A micro-batch of more than 64 events is scored on a sample of its rows, all others on every row.
    """

    step: int
    num_events: int
    loss: float
    prequential_accuracy: float
    prequential_loss: float
    events_by_class: Mapping[str, int]
    num_classes: int
    new_classes: tuple[str, ...]
    reservoir_rows: int
    trained_until_ms: int
    step_seconds: float
    controls: tuple[ControlOutcome, ...] = ()
    woken: tuple[str, ...] = ()
    """Classes that an event of theirs woke."""
    passed_over: int = 0
    """Events of retired classes, which are not learnt."""
    held_out: int = 0
    """Events that are not learnt so that versions can be compared on them."""
    labels: npt.NDArray[np.int64] = field(default_factory=_no_integers, compare=False, repr=False)
    predicted: npt.NDArray[np.int64] = field(default_factory=_no_integers, compare=False, repr=False)
    """Class index; −1 where no class was known yet."""
    hits: npt.NDArray[np.bool_] = field(default_factory=_no_flags, compare=False, repr=False)
    true_probability: npt.NDArray[np.float64] = field(default_factory=_no_floats, compare=False, repr=False)
    losses: npt.NDArray[np.float64] = field(default_factory=_no_floats, compare=False, repr=False)
    """−ln p(label) in nats; of a class not known yet that of an even guess."""
    scored_rows: npt.NDArray[np.int64] = field(default_factory=_no_integers, compare=False, repr=False)
    """Which rows of the micro-batch, in its order, the arrays before are of."""
    weights_by_head: Mapping[str, float] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()
    watched: Watched = field(default_factory=Watched)
    judged: tuple[JudgedAnswers, ...] = ()
    prequential_kappa_temporal: float = 0.0
    refused_events: tuple[RefusedEvent, ...] = ()
    """Events of classes beyond `model.max_classes`."""

    @property
    def refused(self) -> "list[ControlOutcome | RefusedEvent]":
        """What is to be dead-lettered."""
        return [*(outcome for outcome in self.controls if outcome.result == "refused"), *self.refused_events]


@dataclass(frozen=True, kw_only=True)
class SlotChanges:
    """Rows of the reservoir that changed since the previous capture.

    `slots` int64 [k]; each array of `columns` has k rows, one per slot. With `full`, everything not listed is empty.
    """

    full: bool
    slots: npt.NDArray[np.int64]
    columns: Mapping[str, Array]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A weights file: safetensors whose metadata holds the model card; `sha256` is of all its bytes."""

    content: bytes = field(repr=False)
    sha256: str
    class_ledger_digest: str

    @property
    def size_bytes(self) -> int:
        return len(self.content)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything that must survive the trainer, taken between two micro-batches.

    `tensors` are host arrays by dotted name; `state` is JSON (class ledger, scores, generators, counts). `version` is
    the version that the weights carry when they are announced. `packets` are those of the classes asleep, by file name.
    """

    model: str
    schema_digest: str
    epoch: int
    version: int
    step: int
    events_learnt: int
    offsets: Offsets
    trained_until_ms: int
    tensors: Mapping[str, Array] = field(repr=False)
    state: Mapping[str, Json] = field(repr=False)
    reservoir: SlotChanges = field(repr=False)
    mlflow_run_id: str | None = None
    packets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    label_log: LabelLog = field(default_factory=LabelLog)


@dataclass(frozen=True, kw_only=True)
class Delta:
    """What changed since the whole weights that an earlier update announced by URI, and where these are."""

    content: bytes = field(repr=False)
    base_version: int
    base_sha256: str
    base_size_bytes: int
    base_uri: str


@dataclass(frozen=True, kw_only=True)
class ModelUpdate:
    """A model-updated event on the update topic; exactly one of `inline`, `uri` and `delta` is set.

    Its key is `<model>`, or `<model>#delta` with a delta, so that compaction keeps the newest whole one beside it.
    `sha256` and `size_bytes` are of the whole weights file, however it travels.
    """

    model: str
    version: int
    epoch: int
    sha256: str
    size_bytes: int
    class_ledger_digest: str
    trained_until_ms: int
    announced_at_ms: int
    offsets: Offsets
    metrics: Mapping[str, float]
    mlflow_run_id: str | None = None
    inline: bytes | None = field(default=None, repr=False)
    uri: str | None = None
    topic_id: str | None = None
    """Of the label topic that the offsets are of, where brokers have one."""
    delta: Delta | None = None

    def __post_init__(self) -> None:
        if [self.inline, self.uri, self.delta].count(None) != 2:
            raise ValueError("a model update carries its weights either inline or by URI or as a delta")


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """A tombstone under the model's key: the model is withdrawn; replicas keep serving and flag it."""

    model: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A trainer's claim to be the one writer: key `<model>#claim`. A higher epoch wins."""

    epoch: int
    holder: str


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """MLflow has a version on record: key `<model>#recorded`. `mlflow_version` is its number in the registry."""

    model: str
    version: int
    epoch: int
    sha256: str
    mlflow_version: str


LogRecord = ModelUpdate | Withdrawal | Claim | Recorded
"""What the update topic holds, decoded."""
