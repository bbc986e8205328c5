"""The mixture of heads as a replica answers with it."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from penstock.flow import Array
from penstock.learning.encoder import Encoder
from penstock.learning.heads.answer import Answer
from penstock.learning.heads.answer_tensors import read_answer, read_inputs
from penstock.learning.heads.exceptions import Exceptions, RowKeys, overruled
from penstock.learning.heads.inputs import HeadInputs
from penstock.learning.heads.mixture import mixed
from penstock.learning.network import Network
from penstock.learning.rows import EncodedRows
from penstock.learning.weights import ModelCard
from penstock.make_way import MakeWay, go_on


class MixedAnswer:
    """Immutable; one call at a time."""

    def __init__(
        self,
        answer: Answer,
        inputs: HeadInputs,
        keys_of: RowKeys,
        exceptions: Exceptions,
        temperatures: npt.NDArray[np.float64],
        weights: npt.NDArray[np.float64],
    ) -> None:
        self._answer, self._inputs = answer, inputs
        self._keys_of, self._exceptions = keys_of, exceptions
        self._temperatures, self._weights = temperatures, weights

    @classmethod
    def read(cls, tensors: Mapping[str, Array], card: ModelCard, encoder: Encoder, network: Network) -> "MixedAnswer":
        """From the tensors of a weights file whose `network` is loaded.

        Raises `KeyError`, `TypeError` or `ValueError` where they do not fit.
        """
        inputs = read_inputs(
            tensors,
            num_numbers=encoder.num_numbers,
            dense_width=encoder.dense_width,
            heads=card.heads,
            network=network,
        )
        live = None if card.ledger.live.all() else card.ledger.live
        answer = read_answer(tensors, width=inputs.width, num_classes=len(card.ledger), heads=card.heads, live=live)
        weights = tensors["mixture.weights"].astype(np.float64)
        temperatures = tensors["mixture.temperatures"].astype(np.float64)
        if weights.shape != (len(answer.members),) or temperatures.shape != weights.shape:
            raise ValueError(f"mixture.weights has the shape {weights.shape} for {len(answer.members)} members")
        exceptions = Exceptions()
        if "exceptions.keys" in tensors:
            keys, classes = tensors["exceptions.keys"], tensors["exceptions.classes"].astype(np.int64)
            exceptions = Exceptions.of(keys.astype(np.uint64), classes)
        keys_of = RowKeys(encoder.dense_width + encoder.tokens_width)
        return cls(answer, inputs, keys_of, exceptions, temperatures, weights)

    def probabilities(self, rows: EncodedRows, network: Network, make_way: MakeWay = go_on) -> npt.NDArray[np.float32]:
        """[n, classes], each row summing to 1, for any n. `make_way` is called between the heads."""
        linear = None
        if "linear" in self._answer.members:
            linear = network.logits(*network.to_tensors(rows)).cpu().numpy().astype(np.float64)
        make_way()
        scores = self._answer.scores(self._inputs(rows), linear, make_way=make_way)
        found = mixed(self._answer.opinions(scores, self._temperatures), self._weights)
        if len(self._exceptions):
            found = overruled(
                found, self._exceptions.look_up(self._keys_of(rows.dense, rows.tokens)), self._answer.live
            )
        return found.astype(np.float32)
