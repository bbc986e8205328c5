"""The datatypes of the Open Inference Protocol: the range of each, and how its values lie in bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

FLOAT32_MAX: Final = 3.4028234663852886e38


@dataclass(frozen=True, kw_only=True, slots=True)
class Datatype:
    """`low` and `high` bound its values, both included; `layout` is numpy's name for one of them in raw bytes."""

    kind: Literal["bool", "int", "float", "bytes"]
    low: float = 0.0
    high: float = 0.0
    layout: str = ""


DATATYPES: Final[Mapping[str, Datatype]] = {
    "BOOL": Datatype(kind="bool", low=0, high=1, layout="u1"),
    **{
        f"UINT{bits}": Datatype(kind="int", low=0, high=2**bits - 1, layout=f"<u{bits // 8}")
        for bits in (8, 16, 32, 64)
    },
    **{
        f"INT{bits}": Datatype(kind="int", low=-(2 ** (bits - 1)), high=2 ** (bits - 1) - 1, layout=f"<i{bits // 8}")
        for bits in (8, 16, 32, 64)
    },
    "FP16": Datatype(kind="float", low=-65504.0, high=65504.0, layout="<f2"),
    # The upper half of an FP32; numpy has no such type.
    "BF16": Datatype(kind="float", low=-3.3895313892515355e38, high=3.3895313892515355e38, layout="<u2"),
    "FP32": Datatype(kind="float", low=-FLOAT32_MAX, high=FLOAT32_MAX, layout="<f4"),
    "FP64": Datatype(kind="float", low=-1.7976931348623157e308, high=1.7976931348623157e308, layout="<f8"),
    "BYTES": Datatype(kind="bytes"),
}
NUMERIC: Final = frozenset(name for name, datatype in DATATYPES.items() if datatype.kind != "bytes")
