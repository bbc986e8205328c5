"""Where in the label topic a trainer goes on: behind what its checkpoint has learnt, or with a sentence not at all."""

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.errors import RetentionError
from penstock.flow import AcceptedLoss, Checkpoint, LabelLog, Offsets
from penstock.intake.gaps import ACCEPT, Gap, gap_at


@dataclass(frozen=True, kw_only=True)
class LogBounds:
    """A topic as its brokers describe it: the first offset and the end of every partition, its id if they have one."""

    topic: str
    topic_id: str | None
    first: Offsets
    end: Offsets


@dataclass(frozen=True, kw_only=True)
class ResumePoint:
    """The next offset of every partition of `log`'s topic; `accepted` are the losses of this very start."""

    offsets: Offsets
    log: LabelLog
    accepted: tuple[AcceptedLoss, ...] = ()


def resume_point(checkpoint: Checkpoint | None, bounds: LogBounds, *, accepts_loss: bool, now_ms: int) -> ResumePoint:
    """Hold a checkpoint, None before the first, against the topic as it is.

    A partition that the checkpoint does not know was added since, and is learnt from its first event.

    Raises:
        RetentionError: events that were not yet learnt are gone, or the topic is another one of the same name; the
            sentence names partitions and numbers. With `accepts_loss` it is not raised but recorded.
    """
    if checkpoint is None:
        return ResumePoint(offsets=bounds.first, log=LabelLog(topic_id=bounds.topic_id))
    before = checkpoint.label_log
    topic_id = bounds.topic_id or before.topic_id
    if anew := _made_anew(checkpoint, bounds):
        if not accepts_loss:
            raise RetentionError(f"{anew} What the checkpoint had not yet learnt of the old one is gone. {ACCEPT}")
        accepted = _of_the_old_topic(checkpoint.offsets, bounds.first.next, now_ms)
        log = LabelLog(topic_id=topic_id, losses=before.losses + accepted)
        return ResumePoint(offsets=bounds.first, log=log, accepted=accepted)
    wanted = _wanted(checkpoint, bounds)
    gaps = [gap for partition, offset in sorted(wanted.items()) if (gap := _gap(bounds, partition, offset))]
    if gaps and not accepts_loss:
        raise RetentionError(f"{' '.join(gap.sentence(bounds.topic) for gap in gaps)} {ACCEPT}")
    accepted = tuple(_accepted(gap, now_ms) for gap in gaps)
    return ResumePoint(
        offsets=Offsets(next={**wanted, **{gap.partition: gap.resumed_at for gap in gaps}}),
        log=LabelLog(topic_id=topic_id, losses=before.losses + accepted),
        accepted=accepted,
    )


def _made_anew(checkpoint: Checkpoint, bounds: LogBounds) -> str:
    """A sentence if the topic is not the one that the checkpoint has learnt; empty if it may be."""
    known, found = checkpoint.label_log.topic_id, bounds.topic_id
    if known and found and known != found:
        return (
            f"The topic {bounds.topic!r} is not the one that the checkpoint has learnt: it was deleted and made anew "
            f"(topic id {known} then, {found} now), so offsets of the one mean nothing in the other."
        )
    for partition in sorted(set(checkpoint.offsets.next) - set(bounds.end.next)):
        return (
            f"The checkpoint continues {bounds.topic!r} partition {partition} at offset "
            f"{checkpoint.offsets[partition]}, but the topic has only {len(bounds.end.next)} partitions: it was made "
            "anew."
        )
    return ""


def _wanted(checkpoint: Checkpoint, bounds: LogBounds) -> dict[int, int]:
    """Without a topic's id a checkpoint may be of a time when it named only partitions it had learnt something of."""
    names_all = checkpoint.label_log.topic_id is not None
    added = {partition: 0 if names_all else low for partition, low in bounds.first.next.items()}
    return {**added, **checkpoint.offsets.next}


def _gap(bounds: LogBounds, partition: int, wanted: int) -> Gap | None:
    return gap_at(partition, wanted=wanted, low=bounds.first[partition], end=bounds.end[partition])


def _accepted(gap: Gap, now_ms: int) -> AcceptedLoss:
    return AcceptedLoss(
        partition=gap.partition,
        wanted=gap.wanted,
        resumed_at=gap.resumed_at,
        reason=gap.reason,
        num_events=gap.num_events,
        accepted_at_ms=now_ms,
    )


def _of_the_old_topic(offsets: Offsets, first: Mapping[int, int], now_ms: int) -> tuple[AcceptedLoss, ...]:
    return tuple(
        AcceptedLoss(
            partition=partition,
            wanted=wanted,
            resumed_at=first.get(partition, 0),
            reason="made-anew",
            num_events=None,
            accepted_at_ms=now_ms,
        )
        for partition, wanted in sorted(offsets.next.items())
    )
