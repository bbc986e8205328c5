"""The dense tensors that a step moves, each with its gradient."""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from penstock.learning.adam import HEAD
from penstock.learning.head import LinearHead


class TrainedWeights:
    """The backbone's dense parameters by name, and the head's live rows as `HEAD`; tables of rows are left out."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], head: LinearHead) -> None:
        self._parameters = parameters
        self._head = head

    def values(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors themselves, not copies."""
        for name, parameter in self._parameters.items():
            yield name, parameter.detach()
        yield HEAD, self._head.live_rows

    def gradients(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Name, values and gradient of every tensor that the last step reached."""
        for name, parameter in self._parameters.items():
            if parameter.grad is not None:
                yield name, parameter.detach(), parameter.grad
        yield HEAD, self._head.live_rows, self._head.row_gradients[: self._head.num_live]


def with_rows(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor` [k, …] with rows of zeros up to those of `like` [n, …], as the head has grown since; itself if k = n."""
    if tensor.shape == like.shape:
        return tensor
    grown = tensor.new_zeros(like.shape)
    grown[: len(tensor)] = tensor
    return grown
