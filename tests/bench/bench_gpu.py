"""gpu: learnt events/s on a CUDA device beside a raw torch loop there, 512 features, MLP of 1024 and 1024

    python tests/bench/bench_gpu.py

Both take as many gradient steps on as many rows; the raw loop's tensors lie ready on the device. Where there is no CUDA
device nothing is measured.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bench_learner import NUM_CLASSES, event_batches
from figures import Figure
from penstock.features import Feature
from penstock.flow import EventBatch
from penstock.learning.config import BackboneConfig, HeadName, ModelConfig, TrainingConfig
from penstock.learning.device import use_threads
from penstock.learning.learner import Learner
from penstock.replay.config import ReplayConfig

NUM_FEATURES, HIDDEN = 512, (1024, 1024)
FEATURES = (Feature(name="embedding", kind="vector", width=NUM_FEATURES),)
INNER_STEPS = 1
BATCHES = {256: 20, 4096: 4}
TURNS = 5
HEADS: dict[str, tuple[HeadName, ...]] = {
    "linear head alone": ("linear",),
    "all heads": ("linear", "analytic", "instances"),
}


def learner_on_gpu(heads: tuple[HeadName, ...], batch_rows: int) -> Learner:
    """One gradient step a micro-batch, as by default where there is much to do."""
    return Learner(
        ModelConfig(name="bench", features=FEATURES, heads=heads, backbone=BackboneConfig(hidden=HIDDEN)),
        TrainingConfig(device="cuda", inner_steps=INNER_STEPS),
        ReplayConfig(),
        topic="bench.labels",
        max_events=batch_rows,
    )


def raw_loop_on_gpu(num_rows: int) -> Callable[[EventBatch], None]:
    """One micro-batch's steps on tensors that lie ready on the device."""
    widths = (NUM_FEATURES, *HIDDEN)
    layers = [part for a, b in itertools.pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    network = nn.Sequential(*layers, nn.Linear(HIDDEN[-1], NUM_CLASSES)).cuda()
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    inputs = torch.randn(num_rows, NUM_FEATURES, device="cuda")
    labels = torch.randint(0, NUM_CLASSES, (num_rows,), device="cuda")

    def one_batch(_: EventBatch) -> None:
        for _step in range(INNER_STEPS):
            optimizer.zero_grad()
            torch.autograd.backward(cross_entropy(network(inputs), labels))
            optimizer.step()

    return one_batch


def events_per_second(learn: Callable[[EventBatch], object], batches: Sequence[EventBatch]) -> float:
    """Until the device has done it all."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    for batch in batches:
        learn(batch)
    torch.cuda.synchronize()
    num_events: int = sum(batch.events.num_rows for batch in batches)
    return num_events / (time.perf_counter() - began)


def measure() -> list[Figure]:
    """The figures of the README; none without a CUDA device."""
    if not torch.cuda.is_available():
        print("\nThere is no CUDA device here, so the benchmark `gpu` measures nothing.")
        return []
    use_threads(1)
    figures = []
    for batch_rows, num_batches in BATCHES.items():
        for name, heads in HEADS.items():
            ours, raw = _compare(heads, batch_rows, num_batches)
            title = f"batch {batch_rows}, {name}"
            figures += [
                Figure(name=f"{title}: learner", value=ours, unit="events/s"),
                Figure(name=f"{title}: learner ÷ raw loop", value=ours / raw, unit=""),
            ]
    return figures


def _compare(heads: tuple[HeadName, ...], batch_rows: int, num_batches: int) -> tuple[float, float]:
    """Events/s of the learner with a full reservoir, and of the raw loop, medians of turns."""
    replay = ReplayConfig()
    learner, raw = learner_on_gpu(heads, batch_rows), raw_loop_on_gpu(batch_rows + replay.rows_per_step)
    warm_up = -(-replay.capacity // batch_rows) + 2
    batches = event_batches(FEATURES, batch_rows, warm_up + TURNS * num_batches)
    for batch in batches[:warm_up]:
        learner.learn(batch)
        raw(batch)
    ours, theirs = [], []
    for turn in range(TURNS):
        first = warm_up + turn * num_batches
        ours.append(events_per_second(learner.learn, batches[first : first + num_batches]))
        theirs.append(events_per_second(raw, batches[:num_batches]))
    return statistics.median(ours), statistics.median(theirs)


def main() -> None:
    for figure in measure():
        print(f"{figure.name:<60} {figure.value:>14,.2f} {figure.unit}")


if __name__ == "__main__":
    main()
