"""What retraining has found: as a table for people, and as JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from penstock.flow import ModelUpdate, StepReport
from penstock.learning.comparison import Comparison
from penstock.processes.retrain.publishing import Published

CLASSES_SHOWN = 40


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
            return f"it gets less right of {len(losing)} classes than publish.gate.class_margin allows: {names}"
        return ""

    def to_json(self, published: Published | None) -> dict[str, Any]:
        """For `--json`."""
        found, update = self.comparison, self.live
        return {
            "model": self.model,
            "source": self.source,
            "gone_messages": self.gone_messages,
            "invalid": self.invalid,
            "held_out": {
                "events": self.num_held_out,
                "compared": found.num_events,
                "live_has_learnt": self.live_has_learnt,
            },
            "live": None
            if update is None
            else {
                "version": update.version,
                "epoch": update.epoch,
                "problem": self.live_problem or None,
                "events_learnt": update.metrics.get("events_learnt"),
                "classes": self.num_live_classes,
                "accuracy": found.live.accuracy if found.live else None,
                "log_loss": found.live.log_loss if found.live else None,
                "prequential_accuracy": update.metrics.get("prequential_accuracy"),
                "prequential_loss": update.metrics.get("prequential_loss"),
            },
            "fresh": {
                "seconds": self.seconds,
                "events_learnt": self.events_learnt,
                "classes": self.num_classes,
                "accuracy": found.fresh.accuracy,
                "log_loss": found.fresh.log_loss,
                "prequential_accuracy": self.last_report.prequential_accuracy if self.last_report else None,
                "prequential_loss": self.last_report.prequential_loss if self.last_report else None,
            },
            "classes": [asdict(row) for row in found.classes],
            "forgotten_classes": list(self.forgotten),
            "differing": {
                "events": found.num_differing,
                "live_alone_right": found.live_alone_right,
                "fresh_alone_right": found.fresh_alone_right,
                "examples": [asdict(one) for one in found.examples],
            },
            "fresh_is_better": found.fresh_is_better,
            "lower_bound": found.lower_bound,
            "reason_against": self.reason_against or None,
            "published": None
            if published is None
            else {
                "version": published.update.version,
                "epoch": published.update.epoch,
                "offsets": published.update.offsets.to_json(),
                "checkpoint": str(published.handover_folder),
                "recorded": published.is_recorded,
            },
        }

    def to_text(self) -> RenderableType:
        """Tables and the sentences that they need."""
        parts: list[RenderableType] = [self._models()]
        if self.comparison.classes:
            parts.append(self._classes())
        if self.comparison.examples:
            parts.append(self._differences())
        return Group(*parts, *[Text(sentence) for sentence in self._sentences()])

    def _models(self) -> Table:
        update, found = self.live, self.comparison
        table = Table(title=f"{self.model}: learnt from scratch against live")
        table.add_column("")
        table.add_column(f"live, version {update.version}" if update else "live", justify="right")
        table.add_column("fresh", justify="right")
        metrics = update.metrics if update else {}
        rate = self.events_learnt / self.seconds if self.seconds else 0.0
        table.add_row("time", "as events came", f"{self.seconds:,.1f} s, {rate:,.0f} events/s")
        table.add_row("events learnt", _count(metrics.get("events_learnt")), _count(self.events_learnt))
        table.add_row("classes", _count(self.num_live_classes), _count(self.num_classes))
        table.add_row(
            f"accuracy on {found.num_events:,} events held out",
            _ratio(found.live.accuracy if found.live else None),
            _ratio(found.fresh.accuracy),
        )
        table.add_row(
            "log-loss on them", _ratio(found.live.log_loss if found.live else None), _ratio(found.fresh.log_loss)
        )
        report = self.last_report
        table.add_row(
            "accuracy of late, before learning",
            _ratio(metrics.get("prequential_accuracy")),
            _ratio(report.prequential_accuracy if report else None),
        )
        table.add_row(
            "log-loss of late, before learning",
            _ratio(metrics.get("prequential_loss")),
            _ratio(report.prequential_loss if report else None),
        )
        return table

    def _classes(self) -> Table:
        table = Table(title="Share of each class that is right")
        for name in ("class", "events", "live", "fresh"):
            table.add_column(name, justify="left" if name == "class" else "right")
        for row in self.comparison.classes[:CLASSES_SHOWN]:
            table.add_row(Text(row.name), _count(row.num_events), _ratio(row.live), _ratio(row.fresh))
        if len(self.comparison.classes) > CLASSES_SHOWN:
            table.add_row(f"… {len(self.comparison.classes) - CLASSES_SHOWN:,} more: --json lists all", "", "", "")
        return table

    def _differences(self) -> Table:
        found = self.comparison
        table = Table(
            title=f"{found.num_differing:,} of {found.num_events:,} answers differ: live alone is right on "
            f"{found.live_alone_right:,}, fresh alone on {found.fresh_alone_right:,}; the surest of them"
        )
        for name in ("partition:offset", "label", "live says", "fresh says"):
            table.add_column(name)
        for one in found.examples:
            place = f"{one.partition}:{one.offset}" + (f"#{one.row}" if one.row else "")
            table.add_row(place, Text(one.label), Text(_said(one.live)), Text(_said(one.fresh)))
        return table

    def _sentences(self) -> list[str]:
        said = []
        if self.gone_messages:
            said.append(
                f"Retention has deleted the first {self.gone_messages:,} messages of {self.source}: the fresh model "
                "has not learnt them, the live one has if it was there."
            )
        if self.invalid:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.invalid.items()))
            said.append(f"Passed over as invalid: {reasons}.")
        if self.live is None:
            said.append("There is no live model yet.")
        elif self.live_problem:
            said.append(f"The live model cannot be asked: {self.live_problem}")
        elif self.live_has_learnt is None:
            said.append("The fresh model has learnt none of the events held out; the live one may have learnt them.")
        else:
            said.append(
                f"The fresh model has learnt none of the events held out; the live one has learnt "
                f"{self.live_has_learnt:,} of the {self.comparison.num_events:,}, which is in its favour."
            )
        if self.comparison.live is not None:
            better = "is" if self.comparison.fresh_is_better else "is not"
            said.append(
                f"The fresh model {better} better by more than chance: its accuracy less the live one's is at least "
                f"{self.comparison.lower_bound:+.4f} with 95 % confidence."
            )
        return said


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _said(answer: tuple[str, float]) -> str:
    return f"{answer[0]} ({answer[1]:.2f})"
