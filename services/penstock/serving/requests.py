"""What transports and the data plane hand each other: the Open Inference Protocol v2 without its wire form.

Structs of msgspec: to make a frozen one takes a tenth of the time of a frozen dataclass, and every request makes six.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

Values = Sequence[bool | int | float | str] | npt.NDArray[np.generic]
Parameters = Mapping[str, object]
"""By name; the protocol has booleans, numbers and texts."""


class InputTensor(msgspec.Struct, frozen=True, kw_only=True):
    """`values` are flat, row-major, `shape`'s product in number.

    They are a list of the Python type that `datatype` asks for, or an array that holds numbers.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Values

    def __repr__(self) -> str:
        return f"InputTensor(name={self.name!r}, datatype={self.datatype!r}, shape={self.shape})"  # not all values


class RequestedOutput(msgspec.Struct, frozen=True, kw_only=True):
    """One of `outputs.OUTPUTS`, with what its parameters say of it."""

    name: str
    parameters: Parameters = msgspec.field(default_factory=dict)


class InferRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`version` None: whatever is newest. No `outputs`: `label` and `probability`; else exactly those.

    `arrived_seconds` is monotonic.
    """

    model: str
    version: str | None
    id: str | None
    inputs: tuple[InputTensor, ...]
    outputs: tuple[RequestedOutput, ...] = ()
    parameters: Parameters = msgspec.field(default_factory=dict)
    arrived_seconds: float


class OutputTensor(msgspec.Struct, frozen=True, kw_only=True):
    """`values` are float32 in the tensor's shape, or texts, flat; `labels` are the names of the last dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: npt.NDArray[np.float32] | Sequence[str]
    labels: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"OutputTensor(name={self.name!r}, datatype={self.datatype!r}, shape={self.shape})"  # not all values


class InferResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answer; `parameters` say which weights gave it, and where it is logged, for a later label to name."""

    model: str
    version: str
    id: str | None
    parameters: Mapping[str, str]
    outputs: tuple[OutputTensor, ...]


class TensorMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """-1 stands for any number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """Of one version; `versions` are all that answer without being fetched, the newest last."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    parameters: Mapping[str, str | int | float | bool]


class IndexEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the repository index; `version` is empty, and `reason` says why, where nothing is ready."""

    name: str
    version: str
    state: str
    reason: str = ""
