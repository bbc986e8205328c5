"""Where the weights stood when something was learnt, and how much each of them mattered."""

from collections.abc import Mapping

from torch import Tensor

from penstock.flow import Array
from penstock.learning.adam import HEAD
from penstock.learning.regularisers.trained import TrainedWeights
from penstock.learning.tensors import host_tensor, under

_PLACES, _IMPORTANCE = "places.", "importance."


class Anchors:
    """Pulls weights back to their places: the gradient of Σ ½ · importance · (w − place)².

    Head rows born since have no place yet and are free.
    """

    def __init__(self, weights: TrainedWeights) -> None:
        self._weights = weights
        self.places: dict[str, Tensor] = {}
        self.importance: dict[str, Tensor] = {}

    def drop(self, importance: Mapping[str, Tensor]) -> None:
        """Make the weights' places those of now, each of so much importance."""
        self.places = {name: values.clone() for name, values in self._weights.values()}
        self.importance = dict(importance)

    def row_was_set(self, index: int) -> None:
        """A row of the head is held where it is now."""
        if HEAD in self.places and index < len(self.places[HEAD]):
            self.places[HEAD][index] = dict(self._weights.values())[HEAD][index]

    def pull(self, strength: float) -> None:
        """Add the pull, times `strength`, to the gradients of the step that is about to be made."""
        for name, values, gradient in self._weights.gradients():
            place = self.places.get(name)
            if place is not None:
                if place.shape != values.shape:  # the head has grown
                    values, gradient = values[: len(place)], gradient[: len(place)]
                gradient.addcmul_(self.importance[name], values - place, value=strength)

    def state(self) -> dict[str, Tensor]:
        """The tensors themselves."""
        return {_PLACES + name: tensor for name, tensor in self.places.items()} | {
            _IMPORTANCE + name: tensor for name, tensor in self.importance.items()
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        devices = {name: values.device for name, values in self._weights.values()}
        for prefix, into in ((_PLACES, self.places), (_IMPORTANCE, self.importance)):
            into.clear()
            for name, array in under(prefix, arrays).items():
                into[name] = host_tensor(array).to(devices[name], copy=True)
