"""Warming up leaves no trace."""

import torch

from penstock.features import Feature
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.warm_up import warm_up


def test_every_kind_of_column_can_be_warmed_up_and_the_global_generator_stays_where_it_was() -> None:
    model = ModelConfig(
        name="m",
        features=(
            Feature(name="amount", kind="number"),
            Feature(name="x", kind="vector", width=3),
            Feature(name="country", kind="category"),
            Feature(name="body", kind="text"),
        ),
        backbone=BackboneConfig(kind="text", hidden=(4,), embedding_buckets=64, embedding_width=4),
    )
    before = torch.get_rng_state()
    warm_up(model, TrainingConfig(device="cpu"))
    assert torch.equal(torch.get_rng_state(), before)
