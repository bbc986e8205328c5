"""What retraining has found."""

from dataclasses import dataclass

from penstock.flow import ModelUpdate, StepReport
from penstock.learning.comparison import Comparison
from penstock.wording import counted


@dataclass(frozen=True, kw_only=True)
class Result:
    """All that is said at the end.

    `live_has_learnt` is how many of the events compared on the live model has learnt, None where nobody knows;
    `forgotten` are classes that the live model knows and the fresh one never met.
    """

    model: str
    source: str
    gone_messages: int
    invalid: dict[str, int]
    comparison: Comparison
    num_held_out: int
    live: ModelUpdate | None
    live_problem: str
    live_has_learnt: int | None
    last_report: StepReport | None
    events_learnt: int
    num_classes: int
    num_live_classes: int | None
    seconds: float
    forgotten: tuple[str, ...]
    class_margin: float
    """As much of a class's recall may be lost before the gate refuses (`publish.gate.class_margin`)."""

    @property
    def reason_against(self) -> str:
        """Why the fresh model is not published of itself; empty if it may be."""
        if self.live is not None and self.comparison.live is None:
            return "the live model cannot be compared with"
        if self.forgotten:
            names = ", ".join(map(repr, self.forgotten[:5])) + (", …" if len(self.forgotten) > 5 else "")
            return f"it has never met {len(self.forgotten)} of the live model's classes: {names}"
        if not self.comparison.num_events:
            return "there are no events to compare on"
        if not self.comparison.fresh_is_better:
            return "it is not right more often than the live one by more than chance"
        if losing := self.comparison.losing(self.class_margin):
            names = ", ".join(f"{row.name!r} ({row.live:.2f} to {row.fresh:.2f})" for row in losing[:5])
            classes = counted(len(losing), "class", "classes")
            return f"it gets less right of {classes} than publish.gate.class_margin allows: {names}"
        return ""
