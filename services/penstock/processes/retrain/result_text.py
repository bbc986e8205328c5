"""What retraining has found, as tables for people and the sentences that they need."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from penstock.processes.retrain.result import Result
from penstock.wording import counted, masked

CLASSES_SHOWN = 40


def to_text(result: Result) -> RenderableType:
    """All of it, to print on a console."""
    parts: list[RenderableType] = [_models(result)]
    if result.comparison.classes:
        parts.append(_classes(result))
    if result.comparison.examples:
        parts.append(_differences(result))
    return Group(*parts, *[Text(sentence) for sentence in _sentences(result)])


def _models(result: Result) -> Table:
    update, found = result.live, result.comparison
    table = Table(title=f"{result.model}: learnt from scratch against live")
    table.add_column("")
    table.add_column(f"live, version {update.version}" if update else "live", justify="right")
    table.add_column("fresh", justify="right")
    metrics = update.metrics if update else {}
    rate = result.events_learnt / result.seconds if result.seconds else 0.0
    table.add_row("time", "as events came", f"{result.seconds:,.1f} s, {rate:,.0f} events/s")
    table.add_row("events learnt", _count(metrics.get("events_learnt")), _count(result.events_learnt))
    table.add_row("classes", _count(result.num_live_classes), _count(result.num_classes))
    table.add_row(
        f"accuracy on {counted(found.num_events, 'event')} held out",
        _ratio(found.live.accuracy if found.live else None),
        _ratio(found.fresh.accuracy),
    )
    table.add_row("log-loss on them", _ratio(found.live.log_loss if found.live else None), _ratio(found.fresh.log_loss))
    report = result.last_report
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


def _classes(result: Result) -> Table:
    table = Table(title="Share of each class that is right")
    for name in ("class", "events", "live", "fresh"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for row in result.comparison.classes[:CLASSES_SHOWN]:
        table.add_row(Text(masked(row.name)), _count(row.num_events), _ratio(row.live), _ratio(row.fresh))
    if len(result.comparison.classes) > CLASSES_SHOWN:
        table.add_row(f"… {len(result.comparison.classes) - CLASSES_SHOWN:,} more: --json lists all", "", "", "")
    return table


def _differences(result: Result) -> Table:
    found = result.comparison
    differ = "differs" if found.num_differing == 1 else "differ"
    table = Table(
        title=f"{found.num_differing:,} of {counted(found.num_events, 'answer')} {differ}: live alone is right on "
        f"{found.live_alone_right:,}, fresh alone on {found.fresh_alone_right:,}; the surest of them"
    )
    for name in ("partition:offset", "label", "live says", "fresh says"):
        table.add_column(name)
    for one in found.examples:
        place = f"{one.partition}:{one.offset}" + (f"#{one.row}" if one.row else "")
        table.add_row(place, Text(masked(one.label)), Text(_said(one.live)), Text(_said(one.fresh)))
    return table


def _sentences(result: Result) -> list[str]:
    said = []
    if result.gone_messages:
        said.append(
            f"Of {result.source} retention has deleted the first {counted(result.gone_messages, 'message')}: the fresh "
            "model has not learnt what is gone, the live one has if it was there."
        )
    if result.invalid:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(result.invalid.items()))
        said.append(f"Passed over as invalid: {reasons}.")
    if result.live is None:
        said.append("There is no live model yet.")
    elif result.live_problem:
        said.append(f"The live model cannot be asked: {result.live_problem}")
    elif result.live_has_learnt is None:
        said.append("The fresh model has learnt none of the events held out; the live one may have learnt them.")
    else:
        said.append(
            f"The fresh model has learnt none of the events held out; the live one has learnt "
            f"{result.live_has_learnt:,} of the {result.comparison.num_events:,}, which is in its favour."
        )
    if result.comparison.live is not None:
        better = "is" if result.comparison.fresh_is_better else "is not"
        said.append(
            f"The fresh model {better} better by more than chance: its accuracy less the live one's is at least "
            f"{result.comparison.lower_bound:+z.4f} with 95 % confidence."
        )
    return said


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:z.4f}"


def _said(answer: tuple[str, float]) -> str:
    return f"{masked(answer[0])} ({answer[1]:.2f})"
