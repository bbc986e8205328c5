"""What transports and the data plane hand each other: the Open Inference Protocol v2 without its wire form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Values = Sequence[bool | int | float | str] | npt.NDArray[np.generic]
Parameters = Mapping[str, object]
"""By name; the protocol has booleans, numbers and texts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputTensor:
    """`values` are flat, row-major, `shape`'s product in number.

    They are a list of the Python type that `datatype` asks for, or an array that holds numbers.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Values = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestedOutput:
    """One of `outputs.OUTPUTS`, with what its parameters say of it."""

    name: str
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """`version` None: whatever is newest. No `outputs`: `label` and `probability`; else exactly those.

    `arrived_seconds` is monotonic.
    """

    model: str
    version: str | None
    id: str | None
    inputs: tuple[InputTensor, ...]
    outputs: tuple[RequestedOutput, ...] = ()
    parameters: Parameters = field(default_factory=dict)
    arrived_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputTensor:
    """`values` are float32 in the tensor's shape, or texts, flat; `labels` are the names of the last dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: npt.NDArray[np.float32] | Sequence[str] = field(repr=False)
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InferResponse:
    """The answer; `parameters` say which weights gave it, and where it is logged, for a later label to name."""

    model: str
    version: str
    id: str | None
    parameters: Mapping[str, str]
    outputs: tuple[OutputTensor, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorMetadata:
    """-1 stands for any number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelMetadata:
    """Of one version; `versions` are all that answer without being fetched, the newest last."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    parameters: Mapping[str, str | int | float | bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexEntry:
    """One line of the repository index; `version` is empty, and `reason` says why, where nothing is ready."""

    name: str
    version: str
    state: str
    reason: str = ""
