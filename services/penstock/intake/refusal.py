"""A control that the learner could not carry out, as the intake needs it to dead-letter the message."""

from dataclasses import dataclass
from typing import Literal

from penstock.flow import ControlOutcome, RetractionRequest


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Where the control stands in the log, and why it was refused."""

    partition: int
    offset: int
    row: int
    reason: Literal["control", "retracts"]
    sentence: str

    @classmethod
    def of(cls, outcome: ControlOutcome) -> "Refusal":
        """The refusal in a control's outcome."""
        control = outcome.control
        return cls(
            partition=control.partition,
            offset=control.offset,
            row=control.row,
            reason="retracts" if isinstance(control.request, RetractionRequest) else "control",
            sentence=outcome.sentence,
        )
