"""What the commands print of classes: names that steer no terminal."""

from rich.console import Console

from penstock.learning.class_table import ClassRow
from penstock.processes.classes.carrying_out import table
from penstock.processes.retrain.result import Result
from penstock.processes.retrain.result_text import to_text
from retrain_results import answers_of, result_of

NASTY, SHOWN = "red\x1b[31m\x00\u202eend\r\n", "red\ufffd[31m\ufffd\ufffdend\ufffd\ufffd"
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
