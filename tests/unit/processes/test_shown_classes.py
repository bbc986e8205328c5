"""What the commands print of classes: names that steer no terminal, one of one, and no loss below nothing."""

import pytest
from rich.console import Console

from penstock.flow import StepReport
from penstock.learning.class_table import ClassRow
from penstock.processes.classes.carrying_out import table
from penstock.processes.retrain.result import Result
from penstock.processes.retrain.result_text import to_text
from retrain_results import answers_of, result_of

NASTY, SHOWN = "red\x1b[31m\x00\u202eend\r\n", "red\ufffd[31m\ufffd\ufffdend\ufffd\ufffd"
REPORT = StepReport(
    step=1,
    num_events=1,
    loss=0.0,
    prequential_accuracy=1.0,
    prequential_loss=-0.0,
    events_by_class={},
    num_classes=1,
    new_classes=(),
    reservoir_rows=1,
    trained_until_ms=0,
    step_seconds=0.0,
)
DOCUMENT: dict[str, object] = {"model": "plane", "version": 7, "source": "update"}


def printed(result: Result) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(to_text(result))
    return captured.get()


def class_row(index: int, name: str, tenant: str | None = None) -> ClassRow:
    return ClassRow(index=index, name=name, state="live", generation=0, tenant=tenant)


def test_names_are_masked_in_the_list() -> None:
    text = table(DOCUMENT, [class_row(0, NASTY, tenant=f"of {NASTY}")])
    assert SHOWN in text
    assert f"of {SHOWN}" in text
    assert all(line.isprintable() for line in text.split("\n"))


def test_names_are_masked_alike_in_all_tables_of_retraining() -> None:
    labels = [NASTY, "b"]
    found = result_of(labels, answers_of(labels, ["b", "b"]), answers_of(labels, [NASTY, "b"]))
    text = printed(found)
    assert text.count(SHOWN) == 3, "by class, as a label and as an answer"
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(("count", "words"), [(1, "1 class of plane,"), (2, "2 classes of plane,")])
def test_the_list_counts_one_class_as_one(count: int, words: str) -> None:
    assert table(DOCUMENT, [class_row(index, f"c{index}") for index in range(count)]).startswith(words)


def test_retraining_counts_one_event_as_one() -> None:
    found = result_of(["a"], answers_of(["a"], ["b"]), answers_of(["a"], ["a"]), gone_messages=1)
    text = printed(found)
    assert "accuracy on 1 event held out" in text
    assert "1 of 1 answer differs" in text
    assert "the first 1 message:" in text


@pytest.mark.parametrize("probability", [1.0, 1.0 + 1e-7])
def test_an_answer_that_is_sure_and_right_has_a_loss_of_0(probability: float) -> None:
    sure = answers_of(["a"], ["a"], probability=probability)
    assert str(sure.log_loss) == "0.0"
    text = printed(result_of(["a"], sure, sure, last_report=REPORT))
    assert "-0.0000" not in text
    assert text.count("0.0000") == 4, "both on what is held out, of late, and the difference"
