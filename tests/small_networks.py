"""Networks of a few weights with classes already, and rows for them."""

import numpy as np
import torch
from torch import Tensor

from penstock.learning.backbones import Backbone, build_backbone
from penstock.learning.config import BackboneConfig
from penstock.learning.descent import StepRows
from penstock.learning.head import LinearHead
from penstock.learning.network import Network
from penstock.learning.regularisers.remembered import RememberedLogits
from penstock.learning.standardiser import Standardiser

CPU = torch.device("cpu")
WIDTH = 4


def network_of(
    num_classes: int, *, hidden: tuple[int, ...] = (6, 5), kind: str = "mlp", seed: int = 0, head_scale: float = 1.0
) -> Network:
    """Over 4 dense columns (and, for `text`, tokens of 50 buckets), nothing standardised."""
    config = BackboneConfig(kind=kind, hidden=hidden, embedding_buckets=50, embedding_width=3, max_tokens=5)
    backbone: Backbone = build_backbone(config, WIDTH, seed=seed, device=CPU)
    head = LinearHead(backbone.width, CPU)
    generator = torch.Generator().manual_seed(seed)
    head.extend(head_scale * torch.randn(num_classes, backbone.width + 1, generator=generator))
    return Network(standardiser=Standardiser(0, CPU), backbone=backbone, head=head, device=CPU)


def rows_of(
    num_rows: int,
    classes: list[int],
    *,
    num_fresh: int | None = None,
    num_steps: int = 1,
    seed: int = 0,
    remembered: RememberedLogits | None = None,
) -> StepRows:
    """Random rows of these classes, the same in each step; the `num_fresh` first are fresh, all unless said."""
    generator = np.random.default_rng(seed)
    dense = torch.from_numpy(generator.normal(size=(num_rows, WIDTH)).astype(np.float32))
    tokens = torch.from_numpy(generator.integers(0, 51, (num_rows, 5)).astype(np.int32))
    labels = torch.from_numpy(generator.choice(classes, num_rows))
    return StepRows(
        dense=dense.expand(num_steps, -1, -1),
        tokens=tokens.expand(num_steps, -1, -1),
        classes=labels.expand(num_steps, -1),
        shares=torch.full((num_steps, num_rows), 1 / num_rows),
        fresh_weights=torch.ones(num_rows if num_fresh is None else num_fresh),
        remembered=remembered,
    )


def logits_of(network: Network, rows: StepRows) -> Tensor:
    """[n, num_live] of the first step's rows, with a gradient."""
    features = network.backbone(rows.dense[0], rows.tokens[0])
    live = network.head.live_rows
    logits: Tensor = features @ live[:, :-1].t() + live[:, -1]
    return logits


def plain_gradient(logits: Tensor, classes: Tensor, shares: Tensor) -> Tensor:
    """Of the weighted cross-entropy by logit, as a step has it before any option: `classes` and `shares` [n, 1]."""
    return torch.softmax(logits, dim=1).mul_(shares).scatter_add_(1, classes, -shares)
