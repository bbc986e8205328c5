"""A verified model that only answers; what a replica serves."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch

from penstock.errors import RefusedUpdateError
from penstock.flow import Array
from penstock.learning.backbones import backbone_json
from penstock.learning.config import ModelConfig
from penstock.learning.encoder import Encoder
from penstock.learning.mixed_answer import MixedAnswer
from penstock.learning.network import Network, build_network
from penstock.learning.rows import Columns, EncodedRows
from penstock.learning.tensors import under
from penstock.learning.weights import HEADS, ModelCard, read_shared_card, read_tensors

_ANY_SEED = 0  # every initial weight is replaced


def _go_on() -> None:
    """Nobody waits."""


class Predictor:
    """Immutable. `encode` may be called from any thread, `probabilities` from one at a time."""

    def __init__(self, card: ModelCard, encoder: Encoder, network: Network, heads: MixedAnswer | None) -> None:
        self._encoder = encoder
        self._network = network
        self._heads = heads
        self.class_names = card.ledger.names
        self.class_ledger_digest = card.ledger.digest
        live = card.ledger.live
        self._asleep = None if live.all() else torch.from_numpy(np.flatnonzero(~live)).to(network.device)

    @classmethod
    def from_weights(
        cls, content: bytes, *, model: ModelConfig, device: torch.device, make_way: Callable[[], None] = _go_on
    ) -> "Predictor":
        """Build aside from the bytes of a weights file; code comes from the operator's own configuration only.

        `make_way` is called between steps of a fraction of a millisecond each, for a model of usual size.

        Raises:
            RefusedUpdateError: `format`, `model`, `schema`, `backbone`, `ledger`, `shape` or `not_finite`.
            ConfigurationError: the operator's own factory does not work here.
        """
        card = read_shared_card(content)
        _check_card(card, model)
        make_way()
        tensors = read_tensors(content)
        _check_finite(tensors)
        make_way()
        encoder = Encoder(model.schema, model.backbone, card.encoder)
        network = build_network(encoder, model.backbone, seed=_ANY_SEED, device=device)
        heads = under(HEADS, tensors)
        make_way()
        try:
            network.load(
                {name: tensor for name, tensor in tensors.items() if not name.startswith(HEADS)},
                num_classes=len(card.ledger),
            )
            make_way()
            answering = MixedAnswer.read(heads, card, encoder, network) if card.heads is not None else None
        except (ValueError, KeyError, TypeError) as error:
            raise RefusedUpdateError("shape", f"The weights do not fit the model: {error}.") from error
        return cls(card, encoder, network, answering)

    def encode(self, columns: Columns) -> EncodedRows:
        """Rows as the network reads them."""
        return self._encoder.encode(columns)

    def probabilities(self, rows: EncodedRows) -> npt.NDArray[np.float32]:
        """[n, classes], each row summing to 1, for any n."""
        if self._heads is not None and self.class_names:
            return self._heads.probabilities(rows, self._network)
        with torch.inference_mode():
            network = self._network
            logits = network.logits_of(*network.to_tensors(rows))
            if self._asleep is not None:
                logits[:, self._asleep] = -torch.inf
            probabilities = torch.softmax(logits, dim=1)[:, : len(self.class_names)]
        array: npt.NDArray[np.float32] = probabilities.cpu().numpy()
        return array


def _check_card(card: ModelCard, model: ModelConfig) -> None:
    if card.model != model.name:
        raise RefusedUpdateError("model", f"The weights are of model {card.model!r}, not of {model.name!r}.")
    if card.schema_digest != model.schema.digest:
        raise RefusedUpdateError(
            "schema", f"The weights read the features {card.features}, not those configured in model.features."
        )
    if card.backbone != backbone_json(model.backbone):
        raise RefusedUpdateError(
            "backbone",
            f"The weights are of the backbone {card.backbone}, not of {backbone_json(model.backbone)}, as configured.",
        )


def _check_finite(tensors: Mapping[str, Array]) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise RefusedUpdateError("not_finite", f"The weights hold a value in {name!r} that is not finite.")
