"""What the learner could not carry out or does not take, as the intake needs it to dead-letter the message."""

from dataclasses import dataclass
from typing import Literal

from penstock.flow import ControlOutcome, RefusedEvent, RetractionRequest


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Where the control or the event stands in the log, and why it was refused."""

    partition: int
    offset: int
    row: int
    reason: Literal["control", "retracts", "classes"]
    sentence: str

    @classmethod
    def of(cls, refused: ControlOutcome | RefusedEvent) -> "Refusal":
        """The refusal of an event, or in a control's outcome."""
        if isinstance(refused, RefusedEvent):
            return cls(
                partition=refused.partition,
                offset=refused.offset,
                row=refused.row,
                reason="classes",
                sentence=refused.sentence,
            )
        control = refused.control
        return cls(
            partition=control.partition,
            offset=control.offset,
            row=control.row,
            reason="retracts" if isinstance(control.request, RetractionRequest) else "control",
            sentence=refused.sentence,
        )
