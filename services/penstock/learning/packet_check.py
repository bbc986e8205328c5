"""Whether a packet from elsewhere holds what it must, in numbers that leave a model's sums sound."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from penstock.errors import InvalidEventError
from penstock.flow import Array
from penstock.learning.packet import Packet
from penstock.learning.packet_card import refused, unfit
from penstock.wire.control import MAX_NAME_CHARACTERS, is_name
from penstock.wire.invalid import shown

MOST_BYTES = 640 * 1024
"""An import must fit into a Kafka message of the usual size, in base64."""
MOST_EVENTS = 10**12
MOST_PER_EVENT = 1e4
"""No feature of a row is larger on average: vectors are clipped at 100 deviations."""
LEAST_SCALE, MOST_SCALE = 1e-100, 1e100
"""1/σ of numbers that a float32 can hold is well within, and rows on such a scale are finite on any other."""


def packet_to_import(content: bytes) -> Packet:
    """A packet from elsewhere, in whose description is nothing that no class of any model could have.

    Raises:
        InvalidEventError: it is no packet, not a whole one, too large for a message, or says what cannot be.
    """
    if len(content) > MOST_BYTES:
        raise refused(f"The packet has {len(content)} bytes; it may have {MOST_BYTES}.")
    packet = Packet.from_bytes(content)
    for field, name in (("model", packet.model), ("tenant", packet.tenant)):
        if name is not None and not is_name(name):
            raise unfit(field, name, f"1 to {MAX_NAME_CHARACTERS} characters of Unicode")
    for field, number, least in (("events", packet.events, 1), ("index", packet.index, 0)):
        if not least <= number <= MOST_EVENTS:
            raise unfit(field, number, f"from {least} to {MOST_EVENTS}")
    for field, value, is_fit, allowed in _constants(packet):
        if not is_fit:
            raise unfit(field, value, allowed)
    return packet


def _constants(packet: Packet) -> Iterator[tuple[str, float, bool, str]]:
    """By what its columns were scaled: name, value, whether it is one that could be, and what could."""
    for column, (zero, one) in packet.scales.items():
        yield f"scales.{shown(column)}[0]", zero, math.isfinite(zero), "finite"
        yield f"scales.{shown(column)}[1]", one, math.isfinite(one) and one > 0, "finite and above 0"
    for column, origin in packet.encoder.origins.items():
        yield f"encoder.origins.{shown(column)}", origin, math.isfinite(origin), "finite"
    for column, scale in packet.encoder.scales.items():
        allowed = f"from {LEAST_SCALE} to {MOST_SCALE}"
        yield f"encoder.scales.{shown(column)}", scale, LEAST_SCALE <= scale <= MOST_SCALE, allowed


@dataclass(frozen=True, kw_only=True)
class _Allowed:
    """What a tensor may be: `shape` has None for a length that is free, and may be longer where `or_longer`."""

    kind: str
    shape: tuple[int | None, ...]
    least: float
    most: float
    or_longer: bool = False


def check_whole(packet: Packet, *, size: int, dense_width: int, forgetting_width: int | None) -> None:
    """Hold the tensors against the length of ψ here, of dense rows, and of the forgetting head's.

    Raises:
        InvalidEventError: one is missing, of another shape, or holds what no class could have.
    """
    _check(packet, "analytic.count", _Allowed(kind="float64", shape=(1,), least=0.0, most=MOST_EVENTS))
    count = float(packet.tensors["analytic.count"][0])
    if count == 0:
        raise _misfit(packet, "analytic.count is 0.0; it must be above 0")
    for name, allowed in _allowed(count, size=size, dense_width=dense_width).items():
        _check(packet, name, allowed)
    squares = float(packet.tensors["analytic.squares"][0])
    if 0 < squares < count**2 / MOST_EVENTS:
        raise _misfit(packet, f"analytic.squares is {squares}; no {MOST_EVENTS} rows that weigh {count} have so little")
    if forgetting_width is not None and "forgetting.mean" in packet.tensors:
        mean = _Allowed(kind="float64", shape=(forgetting_width,), least=-MOST_PER_EVENT, most=MOST_PER_EVENT)
        _check(packet, "forgetting.mean", mean)
        most = max(MOST_PER_EVENT, count)
        _check(packet, "forgetting.count", _Allowed(kind="float64", shape=(1,), least=0.0, most=most))


def _allowed(count: float, *, size: int, dense_width: int) -> dict[str, _Allowed]:
    """Of a class of `count` events, by name."""
    most, largest = MOST_PER_EVENT, float(np.finfo(np.float32).max)
    return {
        "analytic.squares": _Allowed(kind="float64", shape=(1,), least=0.0, most=MOST_EVENTS**2),
        "analytic.sums": _Allowed(
            kind="float64", shape=(size,), least=-most * count, most=most * count, or_longer=True
        ),
        "analytic.factor": _Allowed(kind="float16", shape=(None, size), least=-most, most=most, or_longer=True),
        "analytic.remainder": _Allowed(kind="float32", shape=(size,), least=0.0, most=most, or_longer=True),
        "inputs.mean": _Allowed(kind="float32", shape=(dense_width,), least=-largest, most=largest),
        "inputs.deviation": _Allowed(kind="float32", shape=(dense_width,), least=0.0, most=largest),
        "inputs.factor": _Allowed(kind="float16", shape=(None, dense_width), least=-most, most=most),
        "inputs.remainder": _Allowed(kind="float32", shape=(dense_width,), least=0.0, most=largest),
    }


def _check(packet: Packet, name: str, allowed: _Allowed) -> None:
    array = packet.tensors.get(name)
    if array is None:
        raise _misfit(packet, f"{name} is missing; it is kept where rows are")
    if not _has_shape(array, allowed):
        raise _misfit(packet, f"{name} is {array.dtype} {list(array.shape)}, which is of no use here")
    values = array.astype(np.float64)
    wrong = values[~((values >= allowed.least) & (values <= allowed.most))]
    if len(wrong):
        raise _misfit(
            packet, f"{name} holds {wrong[0]:g}; it must be finite, from {allowed.least:g} to {allowed.most:g}"
        )


def _has_shape(array: Array, allowed: _Allowed) -> bool:
    if array.dtype != allowed.kind or array.ndim != len(allowed.shape):
        return False
    return all(
        wanted is None or held == wanted or (allowed.or_longer and held > wanted)
        for held, wanted in zip(array.shape, allowed.shape, strict=True)
    )


def _misfit(packet: Packet, problem: str) -> InvalidEventError:
    return refused(f"The packet of class {shown(packet.class_name)} does not fit: {problem}.")
