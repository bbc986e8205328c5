"""What keeps `penstock retrain --publish` from putting the fresh model in place: a sentence for each reason."""

from typing import Any

import numpy as np
import pytest

from labelled_rows import PLANE, event_batch
from penstock.learning.comparison import Answers, compare
from penstock.processes.retrain.result import Result

LARGE, SMALL = 200, 40


def answers(large_right: int, small_right: int) -> Answers:
    right = [place < large_right for place in range(LARGE)] + [place < small_right for place in range(SMALL)]
    return Answers(
        predicted=np.array(["x" if one else "y" for one in right], dtype=object),
        probability=np.full(len(right), 0.5),
        true_probability=np.full(len(right), 0.5),
        is_right=np.array(right),
    )


def result(live: Answers, fresh: Answers, *, forgotten: tuple[str, ...] = ()) -> Result:
    labels = ["large"] * LARGE + ["small"] * SMALL
    events = event_batch(PLANE.schema, {"point": np.zeros((len(labels), 2))}, labels).events
    nothing: dict[str, Any] = {"live": None, "live_problem": "", "live_has_learnt": None, "last_report": None}
    return Result(
        model="plane",
        source="plane.labels",
        gone_messages=0,
        invalid={},
        comparison=compare(events, live, fresh),
        num_held_out=len(labels),
        events_learnt=1000,
        num_classes=2,
        num_live_classes=2,
        seconds=1.0,
        forgotten=forgotten,
        class_margin=0.2,
        **nothing,
    )


@pytest.mark.parametrize(
    ("fresh", "sentence"),
    [
        (answers(160, 30), ""),
        (answers(100, 30), "it is not right more often than the live one by more than chance"),
        (
            answers(180, 20),
            "it gets less right of 1 classes than publish.gate.class_margin allows: 'small' (0.75 to 0.50)",
        ),
    ],
)
def test_a_worse_model_is_refused_with_a_sentence_as_a_whole_or_by_class(fresh: Answers, sentence: str) -> None:
    assert result(answers(110, 30), fresh).reason_against == sentence


def test_a_model_that_never_met_a_class_is_refused() -> None:
    found = result(answers(110, 30), answers(160, 30), forgotten=("old",))
    assert found.reason_against == "it has never met 1 of the live model's classes: 'old'"
