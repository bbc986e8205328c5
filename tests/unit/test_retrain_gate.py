"""What keeps `penstock retrain --publish` from putting the fresh model in place: a sentence for each reason."""

import pytest

from penstock.learning.comparison import Answers
from penstock.processes.retrain.result import Result
from retrain_results import answers_of, result_of

LARGE, SMALL = 200, 40
LABELS = ["large"] * LARGE + ["small"] * SMALL


def answers(large_right: int, small_right: int) -> Answers:
    right = [place < large_right for place in range(LARGE)] + [place < small_right for place in range(SMALL)]
    return answers_of(LABELS, [label if is_right else "neither" for label, is_right in zip(LABELS, right, strict=True)])


def result(live: Answers, fresh: Answers, *, forgotten: tuple[str, ...] = ()) -> Result:
    return result_of(LABELS, live, fresh, forgotten=forgotten)


@pytest.mark.parametrize(
    ("fresh", "sentence"),
    [
        (answers(160, 30), ""),
        (answers(100, 30), "it is not right more often than the live one by more than chance"),
        (
            answers(180, 20),
            "it gets less right of 1 class than publish.gate.class_margin allows: 'small' (0.75 to 0.50)",
        ),
    ],
)
def test_a_worse_model_is_refused_with_a_sentence_as_a_whole_or_by_class(fresh: Answers, sentence: str) -> None:
    assert result(answers(110, 30), fresh).reason_against == sentence


def test_a_model_that_never_met_a_class_is_refused() -> None:
    found = result(answers(110, 30), answers(160, 30), forgotten=("old",))
    assert found.reason_against == "it has never met 1 of the live model's classes: 'old'"
