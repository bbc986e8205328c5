"""Named tensors on their way between the device and files."""

from collections.abc import Mapping

import torch
from torch import Tensor

from penstock.flow import Array


def host_copies(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """The values as they are now, on the host, by the same names."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def host_tensor(array: Array) -> Tensor:
    """A tensor of the array's values; shares its memory where that may be written to, as torch insists."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Those whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
