"""What the model said of a row when the row was put away: its largest logits."""

from dataclasses import dataclass

import torch
from torch import Tensor

from penstock.learning.head import SURELY_ASLEEP

NUM_LOGITS = 8
NO_COLUMN = -1


@dataclass(frozen=True, kw_only=True)
class RememberedLogits:
    """`columns` int64 [n, 8] (`NO_COLUMN` where there were fewer classes) and `values` float32 [n, 8]."""

    columns: Tensor
    values: Tensor

    def at(self, places: Tensor) -> "RememberedLogits":
        """Those of the rows at `places` [k]."""
        return RememberedLogits(
            columns=self.columns.index_select(0, places), values=self.values.index_select(0, places)
        )

    def between(self, start: int, stop: int) -> "RememberedLogits":
        """Those of a run of rows; shares memory with these."""
        return RememberedLogits(columns=self.columns[start:stop], values=self.values[start:stop])

    def put(self, places: Tensor, rows: "RememberedLogits") -> None:
        """Overwrite those at `places` [k]."""
        self.columns.index_copy_(0, places, rows.columns)
        self.values.index_copy_(0, places, rows.values)


def nothing_remembered(num_rows: int, device: torch.device) -> RememberedLogits:
    """Of rows that nobody was asked about."""
    return RememberedLogits(
        columns=torch.full((num_rows, NUM_LOGITS), NO_COLUMN, dtype=torch.int64, device=device),
        values=torch.zeros(num_rows, NUM_LOGITS, device=device),
    )


def largest(logits: Tensor) -> RememberedLogits:
    """The 8 largest of finite `logits` [n, C] of the classes there are and awake, or all of fewer."""
    remembered = nothing_remembered(len(logits), logits.device)
    count = min(NUM_LOGITS, logits.shape[1])
    if count:
        values, columns = logits.topk(count, dim=1)
        is_awake = values > SURELY_ASLEEP
        remembered.values[:, :count] = values.where(is_awake, 0.0)
        remembered.columns[:, :count] = columns.where(is_awake, NO_COLUMN)
    return remembered
