"""Rows to train on, fresh or kept."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.regularisers.remembered import RememberedLogits, nothing_remembered
from penstock.learning.rows import EncodedRows
from penstock.learning.tensors import host_tensor

Int64s = npt.NDArray[np.int64]

LOGIT_COLUMNS, LOGIT_VALUES = "logit_columns", "logit_values"


@dataclass(frozen=True, kw_only=True)
class RowForm:
    """What a row consists of, and where rows lie."""

    dense_width: int
    tokens_width: int
    device: torch.device
    remembers_logits: bool = False
    """Whether kept rows carry the logits that they had when they were put away."""

    def empty(self, num_rows: int, no_class: int) -> "TrainRows":
        """Room for so many rows, all of the class `no_class`."""
        return TrainRows(
            dense=torch.zeros(num_rows, self.dense_width, device=self.device),
            tokens=torch.zeros(num_rows, self.tokens_width, dtype=torch.int32, device=self.device),
            classes=np.full(num_rows, no_class, dtype=np.int64),
            weights=np.zeros(num_rows, dtype=np.float32),
            remembered=nothing_remembered(num_rows, self.device) if self.remembers_logits else None,
        )

    def read(self, columns: Mapping[str, Array], class_column: str, weight_column: str) -> "TrainRows":
        """Rows from host arrays `dense`, `tokens`, and those named; logits that were not stored are not remembered."""
        remembered = None
        if self.remembers_logits and LOGIT_COLUMNS in columns:
            remembered = RememberedLogits(
                columns=host_tensor(columns[LOGIT_COLUMNS]).to(self.device, torch.int64),
                values=host_tensor(columns[LOGIT_VALUES]).to(self.device),
            )
        elif self.remembers_logits:
            remembered = nothing_remembered(len(columns[class_column]), self.device)
        return TrainRows(
            dense=host_tensor(columns["dense"]).to(self.device),
            tokens=host_tensor(columns["tokens"]).to(self.device),
            classes=columns[class_column].astype(np.int64),
            weights=columns[weight_column].astype(np.float32),
            remembered=remembered,
        )


@dataclass(frozen=True, kw_only=True)
class TrainRows:
    """Rows to train on: `dense` [n, D] and `tokens` [n, T] as encoded, on the training device.

    `classes` int64 [n] and `weights` float32 [n] stay on the host, where reservoir and steps reckon with them.
    """

    dense: Tensor
    tokens: Tensor
    classes: Int64s
    weights: npt.NDArray[np.float32]
    remembered: RememberedLogits | None = None
    """Of rows that were put away, where options ask for it."""

    @property
    def encoded(self) -> EncodedRows:
        """What is read of them, on the host; on a CPU they share memory."""
        return EncodedRows(dense=self.dense.cpu().numpy(), tokens=self.tokens.cpu().numpy())

    def at(self, places: Int64s) -> "TrainRows":
        """The rows at `places` [k]."""
        on_device = torch.from_numpy(places).to(self.dense.device)
        return TrainRows(
            dense=self.dense.index_select(0, on_device),
            tokens=self.tokens.index_select(0, on_device) if self.tokens.shape[1] else self.tokens[: len(places)],
            classes=self.classes[places],
            weights=self.weights[places],
            remembered=None if self.remembered is None else self.remembered.at(on_device),
        )

    def between(self, start: int, stop: int) -> "TrainRows":
        """A run of rows; shares memory with these."""
        return TrainRows(
            dense=self.dense[start:stop],
            tokens=self.tokens[start:stop],
            classes=self.classes[start:stop],
            weights=self.weights[start:stop],
            remembered=None if self.remembered is None else self.remembered.between(start, stop),
        )

    def put(self, places: Int64s, rows: "TrainRows", at: Int64s | None = None) -> None:
        """Overwrite the rows at `places` [k] by `rows` [k], or by those of them that stand `at` [k]."""
        if self.remembered is None and self.dense.device.type == "cpu":  # in place, since it is done at every step
            chosen = slice(None) if at is None else at
            self.dense.numpy()[places] = rows.dense.numpy()[chosen]
            if self.tokens.shape[1]:
                self.tokens.numpy()[places] = rows.tokens.numpy()[chosen]
            self.classes[places], self.weights[places] = rows.classes[chosen], rows.weights[chosen]
            return
        rows = rows if at is None else rows.at(at)
        on_device = torch.from_numpy(places).to(self.dense.device)
        self.dense.index_copy_(0, on_device, rows.dense)
        if self.tokens.shape[1]:
            self.tokens.index_copy_(0, on_device, rows.tokens)
        if self.remembered is not None and rows.remembered is not None:
            self.remembered.put(on_device, rows.remembered)
        self.classes[places] = rows.classes
        self.weights[places] = rows.weights

    def logit_arrays(self) -> dict[str, Array]:
        """What is remembered, as host arrays by name: int32 and float32 [n, 8]; nothing where nothing is."""
        if self.remembered is None:
            return {}
        columns, values = self.remembered.columns, self.remembered.values
        return {LOGIT_COLUMNS: columns.to(torch.int32).cpu().numpy(), LOGIT_VALUES: values.cpu().numpy()}


def joined(one: TrainRows, other: TrainRows) -> TrainRows:
    """The rows of both, in order."""
    remembered = None
    if one.remembered is not None and other.remembered is not None:
        remembered = RememberedLogits(
            columns=torch.cat((one.remembered.columns, other.remembered.columns)),
            values=torch.cat((one.remembered.values, other.remembered.values)),
        )
    return TrainRows(
        dense=torch.cat((one.dense, other.dense)),
        tokens=torch.cat((one.tokens, other.tokens)),
        classes=np.concatenate((one.classes, other.classes)),
        weights=np.concatenate((one.weights, other.weights)),
        remembered=remembered,
    )
