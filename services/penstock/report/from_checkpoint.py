"""Facts from a checkpoint, or from as much of one as they need."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from penstock.flow import Checkpoint
from penstock.learning.class_table import EVENTS
from penstock.learning.ledger import ClassLedger
from penstock.learning.tensors import under
from penstock.learning.watching.watch import Watch
from penstock.report.facts import Facts, RecordedVersion

TENSORS = ("watch.", "window.classes", "window.num_added", EVENTS)
COLUMNS = ("class_index",)
"""What is needed of a checkpoint's tensors and of its reservoir's columns."""


def facts_of(
    checkpoint: Checkpoint,
    *,
    made_at_ms: int,
    recorded: Sequence[RecordedVersion] = (),
    sources: Sequence[str] = (),
) -> Facts:
    """The facts as the checkpoint holds them.

    Raises:
        KeyError: it was made by a release that did not watch the stream.
    """
    state = cast(Mapping[str, Any], checkpoint.state)
    ledger = ClassLedger.from_json(state["class_ledger"])
    watch = Watch(fading=1.0)  # only asked what it holds
    watch.restore(under("watch.", checkpoint.tensors), state["watch"])
    return Facts(
        model=checkpoint.model,
        version=checkpoint.version,
        epoch=checkpoint.epoch,
        step=checkpoint.step,
        events_learnt=checkpoint.events_learnt,
        trained_until_ms=checkpoint.trained_until_ms,
        made_at_ms=made_at_ms,
        ledger=ledger,
        watch=watch,
        class_events=checkpoint.tensors[EVENTS].astype(np.int64),
        reservoir_rows=_by_class(checkpoint.reservoir.columns["class_index"], len(ledger)),
        window_rows=_by_class(_in_window(checkpoint), len(ledger)),
        reservoir_capacity=int(state["reservoir"]["capacity"]) + len(checkpoint.tensors.get("window.classes", ())),
        recorded=recorded,
        sources=sources,
    )


def _in_window(checkpoint: Checkpoint) -> npt.NDArray[np.generic]:
    """Classes of the newest rows, which are kept apart from the long-term ones."""
    if "window.classes" not in checkpoint.tensors:
        return np.empty(0, dtype=np.int64)
    return checkpoint.tensors["window.classes"][: int(checkpoint.tensors["window.num_added"][0])]


def _by_class(classes: npt.NDArray[np.generic], num_classes: int) -> npt.NDArray[np.int64]:
    places = classes.astype(np.int64)
    return np.bincount(places[places >= 0], minlength=num_classes)
