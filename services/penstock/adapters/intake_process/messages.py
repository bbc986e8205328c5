"""What the trainer and its intake process say to each other, over pipes that nobody else holds; JSON by msgspec."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from penstock.adapters.intake_process.controls import SentControl
from penstock.features import Feature
from penstock.flow import ClosedBy, JudgedAnswers
from penstock.intake.config import IntakeConfig
from penstock.intake.refusal import Refusal
from penstock.telemetry import MetricName

Reading = tuple[Literal["count", "gauge", "observe"], MetricName, float, dict[str, str]]
"""One call of `Telemetry`, to be made again by the trainer: method, metric, value, labels."""


class Start(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """Read the labels of `model` from `offsets` on; `step` micro-batches were learnt before.

    `read_until_ms` is the horizon up to which predictions were joined to labels; None where they are not logged.
    `failpoints` is what the trainer was armed with.
    `seen` are the uint64 of `EventBatch.seen` that the checkpoint holds. Of `max_classes`, `num_classes` are known.
    """

    model: str
    features: tuple[Feature, ...]
    kafka: Mapping[str, str | int | float | bool]
    intake: IntakeConfig
    offsets: Mapping[int, int]
    step: int
    read_until_ms: int | None = None
    failpoints: str = ""
    seen: bytes = b""
    num_classes: int = 0
    max_classes: int = 100_000


class Take(msgspec.Struct, frozen=True, tag="take"):
    """One more micro-batch may be sent."""


class Commit(msgspec.Struct, frozen=True, kw_only=True, tag="commit"):
    """Commit these group offsets."""

    offsets: Mapping[int, int]


class Saved(msgspec.Struct, frozen=True, kw_only=True, tag="saved"):
    """A checkpoint with these offsets is on disk."""

    offsets: Mapping[int, int]


class Refuse(msgspec.Struct, frozen=True, kw_only=True, tag="refuse"):
    """Dead-letter these controls and events of the micro-batch taken last; the word on it, if it `awaited_word`."""

    refusals: tuple[Refusal, ...]
    awaited_word: bool = False


Command = Start | Take | Commit | Saved | Refuse


class Closed(msgspec.Struct, frozen=True, kw_only=True, tag="closed"):
    """A micro-batch, whose events follow as an Arrow record batch; `letters` were sent up to and with it."""

    offsets: Mapping[int, int]
    closed_by: ClosedBy
    age_seconds: float
    read_until_ms: int
    letters: int
    controls: tuple[SentControl, ...]
    has_tenants: bool
    ends: Mapping[int, int]
    readings: list[Reading]
    judged: tuple[JudgedAnswers, ...] = ()
    seen: bytes = b""
    awaits_word: bool = False


class Quiet(msgspec.Struct, frozen=True, kw_only=True, tag="quiet"):
    """No micro-batch has closed, but there is this to say."""

    ends: Mapping[int, int]
    readings: list[Reading]


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The stream must not be read on: the name of the `StopError`, and its sentence."""

    error: str
    sentence: str


Word = Closed | Quiet | Failed
