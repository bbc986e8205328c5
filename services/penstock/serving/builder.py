"""From a model update to a model that can be served: fetched, verified, built aside and warmed."""

import sys
from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import torch

from penstock import failpoints
from penstock.errors import RefusedUpdateError
from penstock.features import FeatureSchema
from penstock.flow import ModelUpdate
from penstock.learning.config import ModelConfig
from penstock.learning.predictor import Predictor
from penstock.learning.rows import Columns
from penstock.make_way import MakeWay, go_on
from penstock.serving.ports import WeightsFetcher
from penstock.serving.slot import ServedModel
from penstock.serving.weights_reader import WeightsReader


class ModelBuilder:
    """Builds beside whatever is served; nothing it does touches the model that answers."""

    def __init__(
        self,
        model: ModelConfig,
        *,
        device: torch.device,
        fetcher: WeightsFetcher,
        batch_sizes: Callable[[], Iterable[int]] = lambda: (1,),
        make_way: MakeWay = go_on,
        max_weights_bytes: int = sys.maxsize,
    ) -> None:
        """`batch_sizes` says which numbers of rows are in use, so that none of them is slow the first time.

        `make_way` is called between the small steps of a build. Weights of more than `max_weights_bytes` are refused.
        """
        self._model = model
        self._device = device
        self._reader = WeightsReader(fetcher, max_bytes=max_weights_bytes, make_way=make_way)
        self._batch_sizes = batch_sizes
        self._make_way = make_way

    def needs_fetch(self, update: ModelUpdate) -> bool:
        """True if something must be fetched to build this one."""
        return self._reader.needs_fetch(update)

    def build(self, update: ModelUpdate) -> ServedModel:
        """The model that `update` announces.

        Raises:
            RefusedUpdateError: `ledger`, `not_finite`, or a reason of `WeightsReader` or `Predictor.from_weights`.
            UnavailableError: the weights' store does not answer.
        """
        self._make_way()
        weights = self._reader.verified(update)
        failpoints.reach("swap.verified")
        self._make_way()
        predictor = Predictor.from_weights(
            weights.content,
            model=self._model,
            device=self._device,
            make_way=self._make_way,
            kin=weights.kin,
            is_finite=weights.is_finite,
        )
        _check_ledger(predictor, update)
        served = ServedModel.of(update, predictor)
        failpoints.reach("swap.built")
        for num_rows in sorted({1, *self._batch_sizes()}):
            self._make_way()
            self._warm(served, blank_columns(self._model.schema, num_rows))
        failpoints.reach("swap.warmed")
        self._make_way()
        self._reader.built(weights, predictor)
        return served

    def _warm(self, served: ServedModel, columns: Columns) -> None:
        rows = served.predictor.encode(columns)
        self._make_way()
        if not np.isfinite(served.predictor.probabilities(rows, self._make_way)).all():
            raise RefusedUpdateError(
                "not_finite",
                f"The weights of version {served.version} answer blank rows with numbers that are not finite.",
            )


def blank_columns(schema: FeatureSchema, num_rows: int) -> Columns:
    """Rows of zeros and empty texts."""
    columns: dict[str, object] = {}
    for feature in schema:
        if feature.kind == "number":
            columns[feature.name] = np.zeros(num_rows, dtype=np.float64)
        elif feature.kind == "vector":
            columns[feature.name] = np.zeros((num_rows, feature.dense_width), dtype=np.float32)
        else:
            columns[feature.name] = pa.array([""] * num_rows, type=pa.string())
    return columns


def _check_ledger(predictor: Predictor, update: ModelUpdate) -> None:
    if predictor.class_ledger_digest != update.class_ledger_digest:
        raise RefusedUpdateError(
            "ledger",
            f"The weights of version {update.version} hold a class ledger of digest {predictor.class_ledger_digest}, "
            f"not {update.class_ledger_digest}.",
        )
    if not predictor.class_names:
        raise RefusedUpdateError("ledger", f"The weights of version {update.version} know no class.")
