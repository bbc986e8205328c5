"""Which classes a request is about, and whether it can be carried out: the same for who sends it and who does it."""

import difflib
from collections.abc import Sequence

import numpy as np

from penstock.errors import InvalidEventError
from penstock.flow import ClassRequest, ClassVerb
from penstock.learning.ledger import ClassLedger, ClassState
from penstock.wire.control import MAX_NAME_CHARACTERS, is_name
from penstock.wire.invalid import shown

NAMED = 10
"""Names that a sentence lists."""
TARGETS: dict[ClassVerb, ClassState] = {"hibernate": "hibernated", "wake": "live", "retire": "retired"}
"""The state in which a request leaves a class."""
SOURCES: dict[ClassVerb, tuple[ClassState, ...]] = {
    "hibernate": ("live",),
    "wake": ("hibernated",),
    "retire": ("live", "hibernated"),
}
"""The states out of which it takes one; in its target a class stays as it is."""


def concerned(request: ClassRequest, ledger: ClassLedger) -> tuple[int, ...]:
    """Indices of the classes that the request is about, those that are as it wants them already included.

    Raises:
        InvalidEventError: a class is unknown or retired for good, none is the tenant's alone, or none would be left.
    """
    found = _of_tenant(request, ledger) if request.tenant is not None else _named(request, ledger)
    if request.verb != "wake" and set(np.flatnonzero(ledger.live).tolist()) <= set(found):
        raise InvalidEventError(
            "control",
            f"To {request.verb} {listed([ledger.names[index] for index in found])} would leave no class live.",
        )
    return found


def to_change(request: ClassRequest, ledger: ClassLedger) -> tuple[int, ...]:
    """Those of them that it changes. Raises as `concerned`."""
    target = TARGETS[request.verb]
    return tuple(index for index in concerned(request, ledger) if ledger.entries[index].state != target)


def check_new(name: str, ledger: ClassLedger, *, max_classes: int) -> None:
    """Return if a class of another model may be taken in under this name.

    Raises:
        InvalidEventError: no class can have it, one has it, or there are as many classes as there may be.
    """
    if not is_name(name):
        raise InvalidEventError(
            "control",
            f"The class's name is {shown(name)}; it must have 1 to {MAX_NAME_CHARACTERS} characters of Unicode. Give"
            " the packet's class another name.",
        )
    state = ledger.state_of(name)
    if state is not None:
        raise InvalidEventError(
            "control", f"Class {name!r} is {state} in this model; give the packet's class another name."
        )
    if len(ledger) >= max_classes:
        raise InvalidEventError("control", f"The model has {max_classes} classes, as model.max_classes allows.")


def listed(names: Sequence[str]) -> str:
    """As a sentence names them: not all of very many."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(repr(name) for name in names[:NAMED]) + more


def _of_tenant(request: ClassRequest, ledger: ClassLedger) -> tuple[int, ...]:
    assert request.tenant is not None
    states = (*SOURCES[request.verb], TARGETS[request.verb])
    found = tuple(index for state in states for index in ledger.of_tenant(request.tenant, state))
    if not found:
        raise InvalidEventError(
            "control", f"There is no class to {request.verb} that only the tenant {request.tenant!r} has used."
        )
    return found


def _named(request: ClassRequest, ledger: ClassLedger) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_changeable(name, request.verb, ledger) for name in request.classes))


def index_of(name: str, ledger: ClassLedger) -> int:
    """The class of this name. Raises `InvalidEventError`, with a name that is like it."""
    index = ledger.index_of(name)
    if index is None:
        close = difflib.get_close_matches(name, ledger.names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "the model has learnt no event of it."
        raise InvalidEventError("control", f"There is no class {name!r}; {hint}")
    return index


def _changeable(name: str, verb: ClassVerb, ledger: ClassLedger) -> int:
    index = index_of(name, ledger)
    if ledger.entries[index].state == "retired" and verb != "retire":
        raise InvalidEventError("control", f"Class {name!r} is retired, which is for good; it cannot {verb}.")
    return index
