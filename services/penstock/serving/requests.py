"""What transports and the data plane hand each other: the Open Inference Protocol v2 without its wire form."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Values = Sequence[bool | int | float | str]


@dataclass(frozen=True, kw_only=True, slots=True)
class InputTensor:
    """`values` are flat, row-major, of the Python type that `datatype` asks for, `shape`'s product in number."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Values = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """`version` None: whatever is served. `outputs` None: `label` and `probability`; else exactly those."""

    model: str
    version: str | None
    id: str | None
    inputs: tuple[InputTensor, ...]
    outputs: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputTensor:
    """`values` are float32 in the tensor's shape, or text by row; `labels` are the names of the last dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: npt.NDArray[np.float32] | Sequence[str] = field(repr=False)
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InferResponse:
    """The answer, and which weights gave it; `prediction_id` if it is logged, for a later label to name."""

    model: str
    version: str
    id: str | None
    trained_until: str
    sha256: str
    outputs: tuple[OutputTensor, ...]
    prediction_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorMetadata:
    """-1 stands for any number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelMetadata:
    """What is served now."""

    name: str
    version: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    trained_until: str
    sha256: str
    epoch: int
    withdrawn: bool
