"""An ensemble in a checkpoint: by dotted name, all that decides what it learns and says."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from penstock.flow import Array
from penstock.learning.tensors import under
from penstock.learning.window import Window

if TYPE_CHECKING:
    from penstock.learning.heads.ensemble import Ensemble


class Part(Protocol):
    """What keeps its own state."""

    def state(self) -> dict[str, Array]:
        """Copies."""
        ...

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        ...


def state_of(ensemble: "Ensemble") -> dict[str, Array]:
    """Copies of all that must survive; `members` are in the JSON part."""
    instances, solving = ensemble.instances, ensemble.solving
    state: dict[str, Array] = {
        "inputs.mean": ensemble.inputs.mean.copy(),
        "inputs.inverse_deviation": ensemble.inputs.inverse_deviation.copy(),
        "clocks": np.array(
            [
                ensemble.inputs.taken_at,
                instances.far_at,
                instances.absent_at,
                solving.at,
                solving.classes,
                ensemble.urgent_until,
            ],
            dtype=np.int64,
        ),
        "owed": np.array([ensemble.held.owed]),
        **instances.state(),
    }
    for prefix, part in _parts(ensemble).items():
        state |= {f"{prefix}.{name}": array for name, array in part.state().items()}
    return state


def late_state_of(ensemble: "Ensemble") -> dict[str, Callable[[], Array]]:
    """The rest of it, that may be worked out later, and elsewhere."""
    return {"held.scores": ensemble.held.late_scores()}


def load_into(ensemble: "Ensemble", arrays: Mapping[str, Array], members: tuple[str, ...], window: Window) -> None:
    """Take up the values of `state_of` an ensemble with these members."""
    if set(members) > set(ensemble.members) or not set(members) <= set(ensemble.members):
        raise ValueError(f"the members are {', '.join(members)}, not {', '.join(ensemble.members)}")
    if "forgetting" not in members:
        ensemble.forgetting = None
    ensemble.members = members
    instances, solving = ensemble.instances, ensemble.solving
    ensemble.inputs.mean = arrays["inputs.mean"].astype(np.float64)
    ensemble.inputs.inverse_deviation = arrays["inputs.inverse_deviation"].astype(np.float64)
    clocks = [int(value) for value in arrays["clocks"].astype(np.int64)]
    ensemble.inputs.taken_at, instances.far_at, instances.absent_at = clocks[:3]
    solving.at, solving.classes, ensemble.urgent_until = clocks[3:]
    ensemble.held.owed = float(arrays["owed"].astype(np.float64)[0])
    instances.load(arrays)
    for prefix, part in _parts(ensemble).items():
        part.load(under(f"{prefix}.", arrays))
    if "near" in members:
        instances.follow(window)


def _parts(ensemble: "Ensemble") -> dict[str, Part]:
    parts: dict[str, Part] = {
        "shelves": ensemble.shelves,
        "held": ensemble.held,
        "attendance": ensemble.attendance,
        "alarm": ensemble.alarm,
        "bursts": ensemble.bursts,
        "mixture": ensemble.mixture,
    }
    if ensemble.analytic is not None:
        parts["analytic"] = ensemble.analytic
    if ensemble.forgetting is not None:
        parts["forgetting"] = ensemble.forgetting
    if ensemble.exceptions is not None:
        parts["exceptions"] = ensemble.exceptions
    return parts
