"""Whether a packet from elsewhere holds what it must, in numbers that leave a model's sums sound."""

import numpy as np

from penstock.errors import InvalidEventError
from penstock.flow import Array
from penstock.learning.packet import Packet

MOST_EVENTS = 1e12
MOST_PER_EVENT = 1e4
"""No feature of a row is larger on average: vectors are clipped at 100 deviations."""


def check_whole(packet: Packet, *, size: int, dense_width: int, forgetting_width: int | None) -> None:
    """Hold the tensors against the length of ψ here, of dense rows, and of the forgetting head's.

    Raises:
        InvalidEventError: one is missing, of another shape, or holds what no class could have.
    """
    for name, (kind, ends) in {
        "analytic.count": ("float64", (1,)),
        "analytic.squares": ("float64", (1,)),
        "analytic.sums": ("float64", (size,)),
        "analytic.factor": ("float16", (None, size)),
        "analytic.remainder": ("float32", (size,)),
        "inputs.mean": ("float32", (dense_width,)),
        "inputs.deviation": ("float32", (dense_width,)),
        "inputs.factor": ("float16", (None, dense_width)),
        "inputs.remainder": ("float32", (dense_width,)),
    }.items():
        _check_shape(packet, name, kind, ends, or_longer=name.startswith("analytic.") and ends != (1,))
    if forgetting_width is not None and "forgetting.mean" in packet.tensors:
        _check_shape(packet, "forgetting.mean", "float64", (forgetting_width,))
        _check_shape(packet, "forgetting.count", "float64", (1,))
    count = float(packet.tensors["analytic.count"][0])
    if not 0 < count <= MOST_EVENTS:
        raise _refused(packet, f"analytic.count is {count}; it must be above 0 and at most {MOST_EVENTS:g}")
    if not _is_within(packet.tensors["analytic.squares"], 0.0, MOST_EVENTS**2):
        raise _refused(packet, "analytic.squares holds a number that no class could have")
    for name, array in packet.tensors.items():
        if name == "analytic.squares":
            continue
        most = MOST_PER_EVENT * (count if name == "analytic.sums" else 1.0)
        least = 0.0 if name.endswith((".remainder", ".count", ".deviation")) else -most
        if name.startswith(("analytic.", "forgetting.")) and not _is_within(array, least, max(most, count)):
            raise _refused(packet, f"{name} holds a number that no class could have")
        if name.startswith("inputs.") and not _is_within(array, least if least == 0.0 else -np.inf, np.inf):
            raise _refused(packet, f"{name} holds a number that is not finite, or below 0 where none can be")


def _check_shape(
    packet: Packet, name: str, kind: str, ends: tuple[int | None, ...], *, or_longer: bool = False
) -> None:
    array = packet.tensors.get(name)
    if array is None:
        raise _refused(packet, f"{name} is missing; it is kept where rows are")
    fits = array.dtype == kind and array.ndim == len(ends)
    fits = fits and all(
        end is None or held == end or (or_longer and held > end) for held, end in zip(array.shape, ends, strict=True)
    )
    if not fits:
        raise _refused(packet, f"{name} is {array.dtype} {list(array.shape)}, which is of no use here")


def _is_within(array: Array, least: float, most: float) -> bool:
    values = array.astype(np.float64)
    return bool(np.isfinite(values).all() and (values >= least).all() and (values <= most).all())


def _refused(packet: Packet, problem: str) -> InvalidEventError:
    return InvalidEventError("control", f"The packet of class {packet.class_name!r} does not fit: {problem}.")
