"""Two of ten classes sleep while the others learn on, and are woken: against a learner in which they never slept."""

from collections.abc import Mapping

from bench_learning.playing import Figures
from bench_learning.row import Bar, Measure, NotThereYetError, Row
from bench_learning.stream import StreamOf


def row(key: str, stream: StreamOf) -> Row:
    """Both learners see the same events in the same order."""
    return Row(
        key=key,
        title="hibernate 2 of 10 digits, learn on, wake",
        measure=hibernation(stream),
        bars=(
            Bar(
                figure="analytic_difference",
                title="analytic head, largest difference",
                at=1e-9,
                over="most",
                sense="at most",
            ),
            Bar(figure="accuracy_lost", title="mixture, accuracy lost on the two", at=0.01, sense="at most"),
        ),
    )


def hibernation(stream_of: StreamOf) -> Measure:
    """`analytic_difference` of answers of the analytic head; `accuracy_lost` on the woken classes."""

    def measure(*, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None) -> Figures:
        raise NotThereYetError("hibernate and wake")

    return measure
