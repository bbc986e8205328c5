"""Every answer as a dot, every appended update as a line."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench_serving.windows import Window

SHOWN_SECONDS = 2.0
LOWEST_MS, HIGHEST_MS = 0.05, 20.0


def draw(path: Path, steady: Sequence[Window], swapping: Sequence[Window], appended: npt.NDArray[np.float64]) -> None:
    """The whole run above, a second of swaps and one of rest below."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    began = min(steady[0].due[0], swapping[0].due[0])
    figure, (whole, part) = pyplot.subplots(2, 1, figsize=(11, 7), layout="constrained")
    middle = swapping[len(swapping) // 2]
    start = middle.due[len(middle.due) // 4]
    for windows, colour, label in ((steady, "tab:gray", "at rest"), (swapping, "tab:blue", "while swapping")):
        due = np.concatenate([window.due for window in windows])
        took = np.concatenate([window.took for window in windows]) * 1000
        whole.plot(due - began, took, ".", markersize=0.7, color=colour, label=label)
        shown = (due >= start) & (due <= start + SHOWN_SECONDS)
        part.plot(due[shown] - began, took[shown], ".", markersize=2, color=colour, label=label)
    lines = appended[(appended >= start) & (appended <= start + SHOWN_SECONDS)]
    part.vlines(lines - began, LOWEST_MS, HIGHEST_MS, colors="tab:orange", linewidth=0.7, label="update appended")
    for axes in (whole, part):
        axes.set(yscale="log", ylim=(LOWEST_MS, HIGHEST_MS), ylabel="ms from intended start")
        axes.grid(alpha=0.3)
        axes.legend(loc="upper right", markerscale=6)
    whole.set_title("Latency at rest, and while a version is swapped in every 100 ms, in turn")
    part.set_xlabel("seconds")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
