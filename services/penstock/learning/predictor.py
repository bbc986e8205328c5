"""A verified model that only answers; what a replica serves."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import structlog
import torch

from penstock.errors import PenstockError, RefusedUpdateError
from penstock.learning.backbones import backbone_json
from penstock.learning.config import ModelConfig
from penstock.learning.encoder import Encoder
from penstock.learning.mixed_answer import MixedAnswer
from penstock.learning.network import Network, build_network
from penstock.learning.rows import Columns, EncodedRows
from penstock.learning.weights import HEADS, ModelCard, read_shared_card
from penstock.learning.weights_content import Content, MemoryContent
from penstock.learning.weights_layout import ChosenTensors, Layout, StoredTensors
from penstock.make_way import MakeWay, go_on

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Kin:
    """A predictor, and the names of those of its tensors that another one has, too."""

    predictor: "Predictor"
    same: frozenset[str]


class Predictor:
    """Immutable. `encode` may be called from any thread, `probabilities` from one at a time."""

    def __init__(self, card: ModelCard, encoder: Encoder, network: Network, heads: MixedAnswer | None) -> None:
        self._encoder = encoder
        self.network = network
        self._heads = heads
        self.class_names = card.ledger.names
        self.class_ledger_digest = card.ledger.digest
        live = card.ledger.live
        self._asleep = None if live.all() else torch.from_numpy(np.flatnonzero(~live)).to(network.device)

    @classmethod
    def from_weights(
        cls,
        content: bytes | Content,
        *,
        model: ModelConfig,
        device: torch.device,
        make_way: MakeWay = go_on,
        kin: Kin | None = None,
        is_finite: bool = False,
    ) -> "Predictor":
        """Build aside from a weights file; code comes from the operator's own configuration only.

        Nothing large is in memory twice. `make_way` is called between steps of a fraction of a millisecond each, for a
        model of usual size. The memory of the backbone's tensors that are the same in `kin` is shared with it. Whether
        all numbers are finite is not looked at where `is_finite` says so.

        Raises:
            RefusedUpdateError: `format`, `model`, `schema`, `backbone`, `ledger`, `shape` or `not_finite`.
            ConfigurationError: the operator's own factory does not work here.
        """
        content = MemoryContent(content) if isinstance(content, bytes) else content
        layout = Layout.of(content)
        make_way()
        card = read_shared_card(layout.header)
        _check_card(card, model)
        make_way()
        tensors = StoredTensors(content, layout, make_way, is_finite=is_finite)
        encoder = Encoder(model.schema, model.backbone, card.encoder)
        try:
            network = _network(NetworkTensors(tensors), card, model, encoder, device, kin, make_way)
            make_way()
            heads = ChosenTensors(tensors, HEADS)
            answering = MixedAnswer.read(heads, card, encoder, network) if card.heads is not None else None
        except (ValueError, KeyError, TypeError) as error:
            raise RefusedUpdateError("shape", f"The weights do not fit the model: {error}.") from error
        return cls(card, encoder, network, answering)

    def encode(self, columns: Columns) -> EncodedRows:
        """Rows as the network reads them."""
        return self._encoder.encode(columns)

    def probabilities(self, rows: EncodedRows, make_way: MakeWay = go_on) -> npt.NDArray[np.float32]:
        """[n, classes], each row summing to 1, for any n. `make_way` is called between the heads."""
        if self._heads is not None and self.class_names:
            return self._heads.probabilities(rows, self.network, make_way)
        with torch.inference_mode():
            network = self.network
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


class NetworkTensors:
    """`TensorSource` of a weights file without those of the heads."""

    def __init__(self, tensors: StoredTensors) -> None:
        self.form, self.read_into, self.lying = tensors.form, tensors.read_into, tensors.lying
        self._names = [name for name in tensors if not name.startswith(HEADS)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)


def _network(
    tensors: NetworkTensors,
    card: ModelCard,
    model: ModelConfig,
    encoder: Encoder,
    device: torch.device,
    kin: Kin | None,
    make_way: MakeWay,
) -> Network:
    if kin is not None:
        try:
            return kin.predictor.network.derived(tensors, num_classes=len(card.ledger), unchanged=kin.same)
        except PenstockError:
            raise
        except Exception as error:  # whatever the operator's module raises when it is copied
            log.info("the backbone cannot be shared between versions; it is built anew", reason=repr(error))
    make_way()
    network = build_network(encoder, model.backbone, seed=None, device=device, make_way=make_way)
    make_way()
    network.read(tensors, num_classes=len(card.ledger))
    return network
