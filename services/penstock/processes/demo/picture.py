"""The picture: accuracy over the stream with and without replay, and how fresh the answers were."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt

from penstock.processes.demo.digits import DigitStream
from penstock.processes.demo.examiner import Marks

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

WITH, WITHOUT = "#1b6ca8", "#c8553d"


def draw(
    path: Path,
    *,
    stream: DigitStream,
    with_replay: Sequence[Marks],
    without_replay: Sequence[Marks],
    freshness_seconds: npt.NDArray[np.float64],
) -> None:
    """Write a PNG of both panels."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.8), width_ratios=(2, 1), layout="constrained")
    _accuracy(left, stream, with_replay, without_replay)
    _freshness(right, freshness_seconds * 1000)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _accuracy(axes: Axes, stream: DigitStream, with_replay: Sequence[Marks], without: Sequence[Marks]) -> None:
    start = 0
    for index, (pair, images) in enumerate(zip(stream.pairs, stream.train, strict=True)):
        end = start + len(images.digits)
        if index % 2:
            axes.axvspan(start, end, color="0.95", zorder=0)
        axes.text((start + end) / 2, 1.05, f"new: {pair[0]} and {pair[1]}", ha="center", color="0.35")
        start = end
    for marks, color, name in (
        (with_replay, WITH, "with replay (Penstock)"),
        (without, WITHOUT, "the same network alone, without replay"),
    ):
        axes.plot([m.num_events for m in marks], [m.accuracy for m in marks], color=color, label=name, linewidth=2)
    axes.set(xlim=(0, start), ylim=(0, 1.12), xlabel="events produced", ylabel="accuracy on held-out digits so far")
    axes.set_title("Two new digits at a time, answered by the replicas", loc="left")
    axes.legend(loc="lower left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _freshness(axes: Axes, milliseconds: npt.NDArray[np.float64]) -> None:
    axes.set_title("Freshness", loc="left")
    axes.set(xlabel="label produced → first answer that has learnt it (ms)", ylabel="events, at each replica")
    axes.spines[["top", "right"]].set_visible(False)
    if not len(milliseconds):
        return
    axes.hist(np.minimum(milliseconds, np.percentile(milliseconds, 99.5)), bins=40, color=WITH)
    for share, style in ((50, "-"), (99, "--")):
        value = float(np.percentile(milliseconds, share))
        axes.axvline(value, color="0.2", linestyle=style, linewidth=1, label=f"p{share} {value:.0f} ms")
    axes.legend(frameon=False)
