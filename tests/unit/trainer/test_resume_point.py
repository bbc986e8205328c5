"""A checkpoint held against the topic as it is: all there, or a sentence, or a loss that is written down."""

import re
from dataclasses import replace

import pytest

from penstock.errors import RetentionError
from penstock.flow import Checkpoint, LabelLog, Offsets
from penstock.trainer.resume_point import LogBounds, ResumePoint, resume_point
from sample_checkpoints import checkpoint_of, rows_of


def bounds(first: dict[int, int], end: dict[int, int], topic_id: str | None = "one") -> LogBounds:
    return LogBounds(topic="t", topic_id=topic_id, first=Offsets(next=first), end=Offsets(next=end))


def checkpoint_at(offsets: dict[int, int], topic_id: str | None = "one") -> Checkpoint:
    sample = checkpoint_of(1, rows_of([1], 1, full=True))
    return replace(sample, offsets=Offsets(next=offsets), label_log=LabelLog(topic_id=topic_id))


def accepted(checkpoint: Checkpoint, found: LogBounds) -> ResumePoint:
    return resume_point(checkpoint, found, accepts_loss=True, now_ms=7)


def refused(checkpoint: Checkpoint, found: LogBounds, pattern: str) -> None:
    with pytest.raises(RetentionError, match=pattern) as raised:
        resume_point(checkpoint, found, accepts_loss=False, now_ms=7)
    assert "`penstock train --accept-loss`" in str(raised.value)


def test_a_model_that_begins_begins_with_what_is_there() -> None:
    point = resume_point(None, bounds({0: 3, 1: 0}, {0: 9, 1: 0}), accepts_loss=False, now_ms=7)
    assert point == ResumePoint(offsets=Offsets(next={0: 3, 1: 0}), log=LabelLog(topic_id="one"))


def test_a_checkpoint_goes_on_where_it_left_off_and_reads_an_added_partition_from_its_first_event() -> None:
    found = bounds({0: 3, 1: 0}, {0: 9, 1: 4})
    point = resume_point(checkpoint_at({0: 9}), found, accepts_loss=False, now_ms=7)
    assert point.offsets == Offsets(next={0: 9, 1: 0})
    assert point.accepted == ()


def test_a_retention_hole_is_named_by_partition_and_size_and_can_be_accepted() -> None:
    checkpoint, found = checkpoint_at({0: 5, 1: 2, 2: 4}), bounds({0: 80, 1: 0, 2: 6}, {0: 90, 1: 4, 2: 6})
    refused(checkpoint, found, r"75 events of 't' partition 0 .* offset 5.* begins at 80.* 2 events of 't' partition 2")
    point = accepted(checkpoint, found)
    assert point.offsets == Offsets(next={0: 80, 1: 2, 2: 6})
    assert [(loss.partition, loss.reason, loss.num_events) for loss in point.accepted] == [
        (0, "retention", 75),
        (2, "retention", 2),
    ]
    again = accepted(replace(checkpoint, offsets=point.offsets, label_log=point.log), found)
    assert (again.accepted, again.log) == ((), point.log)


def test_the_first_events_of_an_added_partition_are_missed_too() -> None:
    refused(checkpoint_at({0: 9}), bounds({0: 0, 1: 3}, {0: 9, 1: 8}), "3 events of 't' partition 1 are gone")


def test_a_checkpoint_of_before_topic_ids_takes_a_partition_that_it_does_not_name_as_it_is() -> None:
    point = resume_point(
        checkpoint_at({0: 9}, topic_id=None), bounds({0: 0, 1: 3}, {0: 9, 1: 8}), accepts_loss=False, now_ms=7
    )
    assert point.offsets == Offsets(next={0: 9, 1: 3})
    assert point.log.topic_id == "one"


def test_an_offset_beyond_the_end_has_a_sentence_of_its_own() -> None:
    checkpoint, found = checkpoint_at({0: 9}), bounds({0: 0}, {0: 6})
    refused(checkpoint, found, "continues 't' partition 0 at offset 9, but the log ends at 6: .* lost 3 events")
    point = accepted(checkpoint, found)
    assert point.offsets == Offsets(next={0: 6})
    assert [(loss.reason, loss.num_events) for loss in point.accepted] == [("truncated", 3)]


@pytest.mark.parametrize("end", [4, 500], ids=["shorter", "grown past the old offsets"])
def test_a_topic_made_anew_is_never_taken_for_the_old_one(end: int) -> None:
    checkpoint, found = checkpoint_at({0: 9, 1: 9}), bounds({0: 0, 1: 0}, {0: end, 1: end}, topic_id="two")
    refused(checkpoint, found, re.escape("deleted and made anew (topic id one then, two now)"))
    point = accepted(checkpoint, found)
    assert point.offsets == Offsets(next={0: 0, 1: 0})
    assert point.log.topic_id == "two"
    assert [(loss.partition, loss.reason, loss.num_events) for loss in point.accepted] == [
        (0, "made-anew", None),
        (1, "made-anew", None),
    ]


def test_fewer_partitions_can_only_be_another_topic_even_without_ids() -> None:
    checkpoint, found = checkpoint_at({0: 9, 1: 2}, topic_id=None), bounds({0: 0}, {0: 50}, topic_id=None)
    refused(checkpoint, found, "partition 1 at offset 2, but the topic has only 1 partitions: it was made anew")
    assert accepted(checkpoint, found).offsets == Offsets(next={0: 0})
