"""The page: one HTML file that fetches nothing, for a person who wants to see whether the model learns."""

from penstock.report.by_class import classes, reservoir
from penstock.report.confusion import confusion
from penstock.report.drift import drift
from penstock.report.facts import Facts
from penstock.report.over_time import accuracy, loss, mixture
from penstock.report.style import STYLE
from penstock.report.writing import count, duration, moment, share, text
from penstock.wording import counted


def page(facts: Facts) -> str:
    """All of it."""
    details = facts.watch.details()
    history = details.history
    over_time = [accuracy(facts, history), loss(facts, history), mixture(facts, history)] if len(history) else []
    parts = [
        _heading(facts),
        _tiles(facts, details.kappas.kappa),
        *(over_time or [_nothing_yet()]),
        drift(facts),
        classes(facts, details),
        confusion(facts, details),
        reservoir(facts),
        _recorded(facts),
        _sources(facts),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(facts.model)} · Penstock report</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _heading(facts: Facts) -> str:
    return (
        f'<h1>{text(facts.model)}</h1><p class="soft">Version {facts.version}, trained until '
        f"{moment(facts.trained_until_ms)} on {counted(facts.events_learnt, 'event')} in "
        f"{counted(facts.step, 'step')}. This page was made {moment(facts.made_at_ms)}.</p>"
    )


def _tiles(facts: Facts, kappa: float) -> str:
    scores, alarms = facts.watch.scores, facts.watch.alarms
    unrecovered = f", {len(alarms.open)} not recovered" if alarms.open else ""
    tiles = [
        (share(scores.accuracy), "accuracy before learning"),
        (share(kappa), "kappa"),
        (share(scores.kappa_temporal), "kappa-temporal"),
        (share(scores.loss), "log-loss, nats"),
        (count(len(facts.ledger)), "classes"),
        (count(facts.events_learnt), "events learnt"),
        (count(alarms.count), f"drift alarms{unrecovered}"),
    ]
    shown = "".join(f'<div class="tile"><b>{figure}</b><span>{text(words)}</span></div>' for figure, words in tiles)
    return f'<div class="tiles">{shown}</div>'


def _nothing_yet() -> str:
    return "<section><h2>Accuracy over time</h2><p>Too few events so far to draw a line.</p></section>"


def _recorded(facts: Facts) -> str:
    """Versions as MLflow has them on record."""
    if not facts.recorded:
        return ""
    head = (
        '<th class="number">version</th><th>announced</th><th class="number">age</th>'
        '<th class="number">events learnt</th><th class="number">accuracy</th><th class="number">log-loss</th>'
        '<th class="number">while newest</th><th class="number">answers right</th>'
    )
    nothing = float("nan")
    rows = "".join(
        f'<tr><td class="number">{each.version}</td><td>{moment(each.announced_at_ms)}</td>'
        f'<td class="number">{duration(max(facts.made_at_ms - each.announced_at_ms, 0) / 1000)}</td>'
        f'<td class="number">{count(each.figures.get("events_learnt", 0))}</td>'
        f'<td class="number">{share(each.figures.get("prequential_accuracy", nothing))}</td>'
        f'<td class="number">{share(each.figures.get("prequential_loss", nothing))}</td>'
        f'<td class="number">{share(each.figures.get("version/accuracy", nothing))}</td>'
        f'<td class="number">{share(each.figures.get("version/answers_accuracy", nothing))}</td></tr>'
        for each in facts.recorded
    )
    return (
        '<section><h2>Versions on record</h2><p class="soft">The newest in MLflow, with the scores they were announced '
        "with; their own accuracy on the events that came while they were the newest on record; and the share of "
        "answers that late labels have found right.</p>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</section>"
    )


def _sources(facts: Facts) -> str:
    return f'<p class="soft" style="margin-top:18px">{" ".join(text(sentence) for sentence in facts.sources)}</p>'
