"""Accuracy, loss and the mixture of heads over the events learnt."""

import numpy as np

from penstock.learning.watching.history import History
from penstock.learning.watching.watch import WEIGHT
from penstock.report.charts import Mark, Series, area_chart, line_chart
from penstock.report.facts import Facts
from penstock.report.writing import count, percent, span, text

COLOURS = 7


def accuracy(facts: Facts, history: History) -> str:
    """How good, against what would have been cheap, and where drift was seen."""
    marks = [
        Mark(
            x=float(alarm.at_event),
            label=f"▼{alarm.number}",
            title=f"drift alarm {alarm.number} at {count(alarm.at_event)} events: errors {percent(alarm.before)} → "
            f"{percent(alarm.after)}",
        )
        for alarm in facts.watch.alarms.newest
    ]
    series = [
        Series(name="accuracy", values=history.column("accuracy"), colour="c1"),
        Series(name="kappa", values=history.column("kappa"), colour="c3"),
        Series(name="kappa-temporal", values=history.column("kappa_temporal"), colour="c2"),
        Series(name="no-change guess", values=history.column("no_change_accuracy"), colour="c8"),
    ]
    lowest = min(float(np.nanmin(each.values)) for each in series)
    chart = line_chart(
        history.column("events"),
        series,
        y_label="score, 1 is best",
        y_low=0.0 if lowest >= 0 else max(-1.0, np.floor(lowest * 5) / 5),
        y_high=1.0,
        x_end=float(facts.events_learnt),
        marks=marks,
    )
    times = history.column("time_ms")
    return _section(
        "Accuracy over time",
        "Every event is predicted before it is learnt; old ones fade. Kappa is accuracy above guessing with the same "
        "shares, kappa-temporal above repeating the last label: 0 is no better, below 0 is worse. ▼ is a drift alarm.",
        chart,
        span(float(times[0]), float(times[-1])),
    )


def loss(facts: Facts, history: History) -> str:
    """The log-loss."""
    chart = line_chart(
        history.column("events"),
        [Series(name="log-loss", values=history.column("loss"), colour="c6")],
        y_label="nats an event",
        x_end=float(facts.events_learnt),
    )
    return _section(
        "Log-loss over time", "−ln of the probability that the right label was given before it was learnt.", chart
    )


def mixture(facts: Facts, history: History) -> str:
    """Which head is believed how much; nothing where there is only one."""
    names = [name for name in history.names if name.startswith(WEIGHT)]
    if len(names) < 2:
        return ""
    series = [
        Series(name=name.removeprefix(WEIGHT), values=history.column(name), colour=f"c{1 + place % COLOURS}")
        for place, name in enumerate(names)
    ]
    known = np.flatnonzero(np.isfinite(series[0].values))
    if not len(known):
        return ""
    noted = [Series(name=each.name, values=each.values[known], colour=each.colour) for each in series]
    chart = area_chart(
        history.column("events")[known], noted, y_label="share of the answer", x_end=float(facts.events_learnt)
    )
    return _section(
        "Mixture of heads",
        "The weight of each head in the served prediction; they follow who was right of late.",
        chart,
    )


def _section(title: str, words: str, chart: str, caption: str = "") -> str:
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return f'<section><h2>{title}</h2><p class="soft">{words}</p><figure>{chart}{below}</figure></section>'
