"""Drift as MLflow shows it: metrics at the time of each alarm, and a tag of the run that says it in words."""

from collections.abc import Iterable, Iterator, Sequence

from penstock.clock import to_rfc3339
from penstock.flow import DriftAlarm

TAG = "penstock.drift"
TAGS = 32
"""Tags of alarms that a run keeps; an older one gives its place to a newer."""
LONGEST_TAG = 1000

SIZE, BEFORE, AFTER = "drift/size", "drift/errors_before", "drift/errors_after"
RECOVERY_EVENTS, RECOVERY_SECONDS = "drift/recovery_events", "drift/recovery_seconds"


def drift_metrics(alarms: Iterable[DriftAlarm]) -> Iterator[tuple[str, float, int, int]]:
    """Name, value, time in ms and step, which is the event at which it was raised.

    MLflow keeps one point of the same name, value, time and step, so saying it twice changes nothing.
    """
    for alarm in alarms:
        yield SIZE, alarm.size, alarm.at_ms, alarm.at_event
        yield BEFORE, alarm.before, alarm.at_ms, alarm.at_event
        yield AFTER, alarm.after, alarm.at_ms, alarm.at_event
        if alarm.recovered_after_events is not None and alarm.recovered_after_seconds is not None:
            yield RECOVERY_EVENTS, float(alarm.recovered_after_events), alarm.at_ms, alarm.at_event
            yield RECOVERY_SECONDS, alarm.recovered_after_seconds, alarm.at_ms, alarm.at_event


def drift_tags(news: Iterable[DriftAlarm], all_known: Sequence[DriftAlarm]) -> dict[str, str]:
    """A sentence an alarm, by the alarm's number modulo `TAGS`; the newest is `penstock.drift.last` as well."""
    tags = {f"{TAG}.{alarm.number % TAGS:02d}": _sentence(alarm) for alarm in news}
    return tags | {f"{TAG}.last": _sentence(all_known[-1])} if tags else tags


def _sentence(alarm: DriftAlarm) -> str:
    recovered = "not recovered yet"
    if alarm.recovered_after_events is not None:
        recovered = f"recovered after {alarm.recovered_after_events} events ({alarm.recovered_after_seconds:.1f} s)"
    sentence = (
        f"alarm {alarm.number} at {to_rfc3339(alarm.at_ms)}, event {alarm.at_event}: errors {alarm.before:.3f} → "
        f"{alarm.after:.3f} (+{alarm.size:.3f}), {recovered}; classes "
        f"{', '.join(alarm.classes) or 'none'}{_verdict(alarm)}"
    )
    return sentence[:LONGEST_TAG]


def _verdict(alarm: DriftAlarm) -> str:
    if alarm.contradicted is None:
        return ""
    worse = ", ".join(f"{name} (+{nats:.2f} nats)" for name, nats in alarm.contradicted.items())
    return f"; remembered rows contradict new ones: {worse or 'of no class'}"
