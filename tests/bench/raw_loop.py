"""The yardstick: a plain torch loop doing the trainer's steps on tensors that lie ready."""

import time

import torch
from torch import nn


def raw_events_per_second(
    *, features: int, hidden: int, classes: int, batch: int, replayed: int, inner_steps: int, seconds: float
) -> float:
    """Learnt events a second: forward, cross-entropy, backward and fused Adam on batch + replayed rows."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    rows = torch.randn(64, batch + replayed, features)
    labels = torch.randint(0, classes, (64, batch + replayed))
    began, batches = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        x, y = rows[batches % 64], labels[batches % 64]
        with torch.inference_mode():  # test-then-train: the fresh rows are predicted before they are learnt
            network(x[:batch])
        for _ in range(inner_steps):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(network(x), y))
            optimizer.step()
        batches += 1
    return batches * batch / (time.perf_counter() - began)
