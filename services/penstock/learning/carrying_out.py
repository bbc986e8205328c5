"""Controls carried out at their place in the order of events, each with a sentence on what became of it."""

from collections.abc import Sequence

import structlog

from penstock.errors import InvalidEventError
from penstock.flow import (
    ClassRequest,
    Control,
    ControlOutcome,
    ControlResult,
    Exactness,
    ImportRequest,
    RetractionRequest,
)
from penstock.learning.class_changes import ClassChanges
from penstock.learning.class_requests import check_new, listed, to_change
from penstock.learning.packet import Packet
from penstock.learning.packet_check import packet_to_import
from penstock.learning.parts import LearnerParts
from penstock.learning.retraction import Retractions
from penstock.wire.invalid import shown
from penstock.wording import counted

log = structlog.get_logger(__name__)

_DONE = {
    "hibernate": "asleep: not answered, their rows gone, and the first event of one wakes it",
    "wake": "awake",
    "retire": "retired for good",
}


class Desk:
    """Takes controls one by one. Works on `parts`, which it does not own."""

    def __init__(
        self, parts: LearnerParts, changes: ClassChanges, retractions: Retractions, *, max_classes: int
    ) -> None:
        self._parts, self._changes, self._retractions = parts, changes, retractions
        self._max_classes = max_classes
        self._has_retracted = False

    def carry_out(self, control: Control) -> ControlOutcome:
        """Do what it asks; a request that cannot be done changes nothing."""
        request = control.request
        if not isinstance(request, RetractionRequest):
            self.finish()
        try:
            if isinstance(request, ClassRequest):
                return self._change(control, request)
            if isinstance(request, ImportRequest):
                return self._import(control, request)
            return self._retract(control, request)
        except InvalidEventError as error:
            return ControlOutcome(control=control, result="refused", classes=(), sentence=str(error))

    def begin_learning(self) -> None:
        """Before events are learnt: what sleeps is out of every head, what was retracted out of every answer."""
        self._changes.leave()
        self.finish()

    def finish(self) -> None:
        """Before anything is learnt and before the state is read: complete what retractions have begun."""
        if self._has_retracted:
            self._retractions.finish()
            self._has_retracted = False

    def _change(self, control: Control, request: ClassRequest) -> ControlOutcome:
        labels = to_change(request, self._parts.ledger)
        if not labels:
            return self._outcome(control, "unchanged", (), f"Nothing to {request.verb}: it is so already.")
        if request.verb == "hibernate":
            self._changes.hibernate(labels)
        elif request.verb == "wake":
            self._changes.wake(labels)
        else:
            self._changes.retire(labels)
        names = [self._parts.ledger.names[label] for label in labels]
        return self._outcome(control, "applied", names, f"{listed(names)}: {_DONE[request.verb]}.")

    def _import(self, control: Control, request: ImportRequest) -> ControlOutcome:
        packet, name = self._checked(request)
        self._changes.take_in(packet, name, f"{control.partition}:{control.offset}")
        events = counted(packet.events, "event")
        sentence = f"Class {name!r} taken in from the model {packet.model!r}, where it had {events}."
        return self._outcome(control, "applied", [name], sentence)

    def _checked(self, request: ImportRequest) -> tuple[Packet, str]:
        """A packet that can be taken in, and the name that its class gets; nothing has changed yet.

        So whatever a stranger's bytes do to the checks, no restart is needed, which would only meet them again.
        """
        try:
            packet = packet_to_import(request.packet)
            name = packet.class_name if request.name is None else request.name
            check_new(name, self._parts.ledger, max_classes=self._max_classes)
            self._changes.check_fits(packet)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            log.exception("a packet could not be checked")
            raise InvalidEventError("control", f"The packet cannot be checked: {shown(str(error))}.") from error
        return packet, name

    def _retract(self, control: Control, request: RetractionRequest) -> ControlOutcome:
        self._changes.leave()
        name, sentence, exactness = self._retractions.undo(request)
        self._has_retracted = True
        return self._outcome(control, "applied", [name], sentence, exactness)

    def _outcome(
        self,
        control: Control,
        result: ControlResult,
        names: Sequence[str],
        sentence: str,
        exactness: dict[str, Exactness] | None = None,
    ) -> ControlOutcome:
        return ControlOutcome(
            control=control, result=result, classes=tuple(names), sentence=sentence, exactness=exactness or {}
        )
