"""The nouns: what flows down the line, in the order in which it is made.

Data goes one way: `EventBatch` → learner → `Checkpoint` → `ModelUpdate` → replicas. The single back-arrow is
resume: a `Checkpoint` sets the learner and the consumer's offsets at start. All values are frozen and keyword-only.

Every noun is imported from here. The modules, in the order of the line: `label_log`, `controls`, `events`, `drift`,
`step`, `checkpoint`, `updates`.
"""

from penstock.flow.checkpoint import Checkpoint, SlotChanges, Weights
from penstock.flow.controls import (
    ClassRequest,
    ClassVerb,
    Control,
    ControlOutcome,
    ControlResult,
    Exactness,
    ImportRequest,
    RetractionRequest,
)
from penstock.flow.drift import Alarm, DriftAlarm, Watched
from penstock.flow.events import ClosedBy, EventBatch, JudgedAnswers, RefusedEvent
from penstock.flow.label_log import AcceptedLoss, EventPlace, LabelLog, LossReason, Offsets
from penstock.flow.step import StepReport
from penstock.flow.updates import Claim, Delta, LogRecord, ModelUpdate, Recorded, Withdrawal
from penstock.flow.values import Array, Json

__all__ = [
    "AcceptedLoss",
    "Alarm",
    "Array",
    "Checkpoint",
    "Claim",
    "ClassRequest",
    "ClassVerb",
    "ClosedBy",
    "Control",
    "ControlOutcome",
    "ControlResult",
    "Delta",
    "DriftAlarm",
    "EventBatch",
    "EventPlace",
    "Exactness",
    "ImportRequest",
    "Json",
    "JudgedAnswers",
    "LabelLog",
    "LogRecord",
    "LossReason",
    "ModelUpdate",
    "Offsets",
    "Recorded",
    "RefusedEvent",
    "RetractionRequest",
    "SlotChanges",
    "StepReport",
    "Watched",
    "Weights",
    "Withdrawal",
]
