"""ADWIN: the alarm over the errors of a stream (Bifet and Gavaldà, SDM 2007), as `river.drift.ADWIN` computes it.

Importing `river.drift` brings scikit-learn, pandas and every data set's reader along (1.8 s, 80 MiB), so the compiled
detector that it wraps is taken from where it lies; tests hold both to the same decisions, event by event.
"""

import operator
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import structlog

from penstock.flow import Json

if TYPE_CHECKING:
    from river._river_rust.drift import AdaptiveWindowing

DELTA = 0.002
CLOCK, MAX_BUCKETS, MIN_WINDOW_LENGTH, GRACE_PERIOD = 32, 5, 5, 10  # river's own defaults

NEWEST = 1024
"""Errors among which the place of a change is looked for."""
LEAST_AFTER = 4
_NONE: npt.NDArray[np.bool_] = np.empty(0, dtype=np.bool_)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Change:
    """The mean of a stream of errors has changed: at row `place` of the batch it became certain.

    `before` and `after` are the means on both sides of where it most likely happened; `num_after` rows lie after that,
    the newest included.
    """

    place: int
    before: float
    after: float
    num_after: int


class Adwin:
    """A window of errors that is cut wherever its two parts differ more than chance allows, with confidence 1 − δ.

    After each change it starts anew, as river's does.
    """

    def __init__(self, delta: float = DELTA) -> None:
        self._delta = delta
        self._window = _window(delta)
        self._newest = _NONE

    @property
    def mean(self) -> float:
        """Of the window's errors; 0 when it is empty."""
        return self._window.get_total() / width if (width := self._window.get_width()) else 0.0

    @property
    def width(self) -> int:
        """Errors in the window."""
        return int(self._window.get_width())

    def update(self, errors: npt.NDArray[np.bool_]) -> list[Change]:
        """Take in errors [n] in order; returns the changes found among them, oldest first."""
        waiting = iter(errors.tolist())
        start = 0
        changes: list[Change] = []
        rows, total = self._window.get_width(), self._window.get_total()
        while any(map(self._window.update, waiting)):  # stops right after the error at which it is certain
            stop = len(errors) - operator.length_hint(waiting)
            since = errors[start:stop]
            self._remember(since)
            changes.append(_most_likely(self._newest, int(rows) + len(since), int(total) + int(since.sum()), stop - 1))
            self._window, self._newest = _window(self._delta), _NONE
            start, rows, total = stop, 0, 0
        self._remember(errors[start:])
        return changes

    def state(self) -> dict[str, Json]:
        """All of the window: river's own encoding, so together with river's version."""
        return {
            "river": _river_version(),
            "window": b64encode(self._window.__getstate__()).decode(),
            "newest": (self._newest + np.uint8(ord("0"))).tobytes().decode(),
        }

    def restore(self, state: Mapping[str, Json]) -> None:
        """Go on from `state()` as if never interrupted; after an upgrade of river, with an empty window.

        Raises:
            KeyError: something is missing.
        """
        self._window, self._newest = _window(self._delta), _NONE
        encoded, newest, version = str(state["window"]), str(state["newest"]), state["river"]
        if version == _river_version():
            self._window.__setstate__(b64decode(encoded))
            self._newest = np.array([error == "1" for error in newest], dtype=np.bool_)
        else:
            log.warning("the drift alarm starts anew", stored_by_river=version, river=_river_version())

    def _remember(self, errors: npt.NDArray[np.bool_]) -> None:
        self._newest = np.concatenate((self._newest, errors))[-NEWEST:]


def _most_likely(newest: npt.NDArray[np.bool_], rows: int, total: int, place: int) -> Change:
    """Where among the `newest` of `rows` errors, `total` of them wrong, the mean changed: the likeliest two means.

    The window itself drops its oldest bucket only, so it still holds most of what came before the change.
    """
    num_after = np.arange(LEAST_AFTER, min(len(newest), rows - 1) + 1)
    sums_after = np.cumsum(newest[::-1])[num_after - 1]
    after, before = sums_after / num_after, (total - sums_after) / (rows - num_after)
    likelihood = num_after * _negative_entropy(after) + (rows - num_after) * _negative_entropy(before)
    best = int(likelihood.argmax())
    return Change(place=place, before=float(before[best]), after=float(after[best]), num_after=int(num_after[best]))


def _negative_entropy(rate: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean log-likelihood of zeros and ones under their own rate, in nats."""
    certain = np.clip(rate, 1e-12, 1 - 1e-12)
    return np.asarray(certain * np.log(certain) + (1 - certain) * np.log1p(-certain))


def _window(delta: float) -> "AdaptiveWindowing":
    from river._river_rust.drift import AdaptiveWindowing

    return AdaptiveWindowing(
        delta=delta,
        clock=CLOCK,
        max_buckets=MAX_BUCKETS,
        min_window_length=MIN_WINDOW_LENGTH,
        grace_period=GRACE_PERIOD,
    )


def _river_version() -> str:
    from river.__version__ import __version__

    return __version__
