"""The drift alarms as a table."""

from penstock.flow import DriftAlarm
from penstock.learning.watching.alarms import KEPT
from penstock.report.facts import Facts
from penstock.report.writing import count, duration, moment, name, percent


def drift(facts: Facts) -> str:
    """When, how large, whom it hit, and how long it took to be as good again."""
    alarms = facts.watch.alarms
    words = (
        "An alarm is raised where the share of wrong predictions on known classes rises more than chance allows "
        "(ADWIN, δ 0.002). Recovered is when the errors of the last hundred events or so were back within a fifth of "
        "the rise. Contradicted are classes whose remembered rows are worse than the new ones by so many nats: their "
        "label means something else now. The others are only harder, or their inputs have shifted."
    )
    if not alarms.newest:
        nothing = f'<section><h2>Drift</h2><p class="soft">{words}</p><p>No alarm so far.</p>'
        return f"{nothing}{_label_changes(facts)}</section>"
    left_out = f" Shown are the newest {KEPT} of {count(alarms.count)}." if alarms.count > len(alarms.newest) else ""
    head = (
        '<th class="number">alarm</th><th>time</th><th class="number">at event</th><th>errors</th>'
        '<th class="number">size</th><th>classes hit most</th><th>contradicted</th><th>recovered after</th>'
    )
    rows = "".join(_row(alarm) for alarm in reversed(alarms.newest))
    return (
        f'<section><h2>Drift</h2><p class="soft">{words}{left_out}</p><div class="scroll"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>{_label_changes(facts)}</section>"
    )


def _label_changes(facts: Facts) -> str:
    """Where old rows were given up because they contradict the new ones."""
    changes = facts.watch.alarms.label_changes
    if not changes:
        return ""
    rows = "".join(
        f'<tr><td>{moment(change.at_ms)}</td><td class="number">{count(change.began_at)}</td>'
        f'<td class="number">{count(change.rows_dropped)}</td>'
        f'<td class="wide">{", ".join(name(each) for each in change.classes)}</td></tr>'
        for change in reversed(changes)
    )
    return (
        '<h2 class="second">Labels that changed their meaning</h2><p class="soft">New rows of these classes contradict '
        "the remembered ones, so what was learnt of them before was given up.</p>"
        '<div class="scroll"><table><thead><tr><th>time</th><th class="number">since event</th>'
        '<th class="number">rows given up</th><th>classes</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(alarm: DriftAlarm) -> str:
    if alarm.recovered_after_events is None or alarm.recovered_after_seconds is None:
        recovered = '<span class="bad">not yet</span>'
    else:
        after = f"{count(alarm.recovered_after_events)} events, {duration(alarm.recovered_after_seconds)}"
        recovered = f'<span class="good">{after}</span>'
    return (
        f'<tr><td class="number">▼{alarm.number}</td><td>{moment(alarm.at_ms)}</td>'
        f'<td class="number">{count(alarm.at_event)}</td><td>{percent(alarm.before)} → {percent(alarm.after)}</td>'
        f'<td class="number">+{100 * alarm.size:.1f} points</td>'
        f'<td class="wide">{", ".join(name(each) for each in alarm.classes) or "–"}</td>'
        f'<td class="wide">{_verdict(alarm)}</td><td>{recovered}</td></tr>'
    )


def _verdict(alarm: DriftAlarm) -> str:
    if alarm.contradicted is None:
        return "not judged yet"
    return ", ".join(f"{name(each)} +{nats:.1f}" for each, nats in alarm.contradicted.items()) or "no class"
