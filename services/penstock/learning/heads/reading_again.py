"""Rows that were summed under the moments of a few, learnt again while all of them are kept.

The first moments are those of one row, then of two: what is standardised by them lies elsewhere, and in sums that never
forget it would lie there for good. With large micro-batches the first moments are good ones, with single events not.
"""

import numpy as np

from penstock.learning.heads.analytic import AnalyticHead
from penstock.learning.heads.forgetting import ForgettingHead
from penstock.learning.heads.inputs import HeadInputs
from penstock.learning.shelves import Shelves
from penstock.learning.window import Window


def holds_all(window: Window, analytic: AnalyticHead) -> bool:
    """True while the rows in the sums are those of the window, as in the beginning of a stream."""
    newest = window.newest(len(window))
    classes, weights = window.rows.classes[newest], window.rows.weights[newest].astype(np.float64)
    counts = np.bincount(classes, weights, analytic.num_classes)
    return len(newest) > 0 and np.allclose(counts, analytic.counts)


def learn_again(
    window: Window, inputs: HeadInputs, shelves: Shelves, analytic: AnalyticHead, forgetting: ForgettingHead | None
) -> None:
    """All rows of the window, in their order, as `inputs` reads them now; solve after it."""
    places = window.newest(len(window))
    rows = window.rows.at(places)
    read, weights = inputs(rows.encoded), rows.weights.astype(np.float64)
    analytic.forget_all()
    analytic.learn(read, rows.classes, weights)
    if forgetting is not None:
        forgetting.forget_all()
        free = np.flatnonzero(~shelves.is_held(rows.classes, window.priorities[places]))
        if len(free):
            forgetting.learn(read[free], rows.classes[free], weights[free])
