"""What is known of the newest ids depends on their order alone: not on batches, nor on restarts between them."""

from dataclasses import replace

import numpy as np
import pytest

from controlled_streams import MODEL, Told, every, place, points
from labelled_rows import event_batch
from penstock.flow import Control, EventBatch, RetractionRequest
from penstock.learning.seen_events import FORGET, At, SeenEvents


def batch(first: int, keys: list[int], retracted: list[tuple[int, int]] | None = None) -> EventBatch:
    """Events with these keys from offset `first` on; `retracted` are (behind so many, the key of a retraction)."""
    events = event_batch(MODEL.schema, points([0] * len(keys), seed=0), ["c0"] * len(keys), first_offset=first)
    entries, controls = list[int](), list[Control]()
    request = RetractionRequest(event=events.events.slice(0, 1), of=place(0))
    before = 0
    for at, own in retracted or []:
        entries += [*keys[before:at], own, keys[0] | int(FORGET)]
        controls.append(Control(at=at, partition=0, offset=0, row=0, request=request))
        before = at
    entries += keys[before:]
    return replace(events, seen=np.array(entries, dtype=np.uint64), controls=tuple(controls))


def stream(seed: int, cut: int) -> list[EventBatch]:
    """The same events with retractions among them, in batches of `cut`."""
    is_undone = np.random.default_rng(seed).random(200) < 0.2
    found = []
    for first in range(0, 200, cut):
        keys = [2 * offset for offset in range(first, min(first + cut, 200))]
        undone = [(at + 1, 10_000 + 2 * (first + at)) for at in range(len(keys)) if is_undone[first + at]]
        each = batch(first, keys, undone)
        # What is forgotten is of the stream, not of how it is cut.
        seen = each.seen.copy()
        seen[(seen & FORGET) == FORGET] = 1
        found.append(replace(each, seen=seen))
    return found


def remembered(seen: SeenEvents) -> dict[str, list[int]]:
    return {name: array.tolist() for name, array in seen.tensors().items()}


@pytest.mark.parametrize("seed", range(3))
def test_however_the_stream_is_cut_and_taken_up_again_the_same_is_remembered(seed: int) -> None:
    kinds = []
    for cut in (1, 7, 50, 200):
        for restarts in (False, True):
            seen = SeenEvents(40)
            for each in stream(seed, cut):
                seen.add(each)
                if restarts:
                    tensors = seen.tensors()
                    seen = SeenEvents(40)
                    seen.restore(tensors)
            kinds.append(remembered(seen))
    assert all(kind == kinds[0] for kind in kinds)


def test_an_id_tells_its_place_and_a_place_its_id_with_retractions_between() -> None:
    seen = SeenEvents(100)
    seen.add(batch(5, [10, 12, 14, 16], [(1, 90), (3, 92)]))
    for number, key in enumerate((10, 12, 14, 16)):
        at = At(0, 5 + number, 0)
        assert list(seen.places_of(key)) == [at]
        assert seen.key_at(at) == key
    assert seen.key_at(At(0, 9, 0)) is None
    assert seen.key_at(At(1, 5, 0)) is None


def test_what_left_the_window_is_out_of_reach_and_the_window_is_whole_no_longer() -> None:
    seen = SeenEvents(3)
    assert seen.is_whole
    seen.add(batch(0, [2, 4, 6]))
    assert seen.is_whole
    assert seen.reaches(At(0, 0, 0))
    seen.add(batch(3, [8]))
    assert not seen.is_whole
    assert [seen.reaches(At(0, offset, 0)) for offset in (0, 1)] == [False, True]
    assert list(seen.places_of(2)) == []
    assert seen.reaches(At(1, 0, 0)), "nothing of another partition has left"


def test_a_window_that_begins_amid_a_stream_does_not_reach_what_was_before() -> None:
    begun = SeenEvents(100)
    begun.restore({}, np.array([(7 << 24) + 1]))
    assert not begun.is_whole
    assert not begun.reaches(At(0, 7, 0))
    assert begun.reaches(At(0, 8, 0))


def test_entries_that_cannot_be_told_apart_have_no_places() -> None:
    seen = SeenEvents(100)
    seen.add(replace(batch(0, [2, 4, 6]), seen=np.array([2, 4], dtype=np.uint64)))
    assert list(seen.places_of(4)) == [None]
    assert not seen.is_whole
    assert not seen.reaches(At(0, 2, 0))
    assert seen.reaches(At(0, 3, 0))


def test_what_was_refused_is_blanked_and_keeps_its_place_in_the_window() -> None:
    seen, each = SeenEvents(100), batch(5, [10, 12, 14], [(1, 90), (2, 92)])
    seen.add(each)
    seen.take_back(each, {(0, 6, 0)})
    assert seen.entries().tolist() == [10, 90, 11, 0, 92, 11, 14]
    assert seen.key_at(At(0, 6, 0)) is None
    assert seen.reaches(At(0, 6, 0))
    seen.take_back(each, {(0, 0, 0)})  # where both retractions stand
    assert seen.entries().tolist() == [10, 0, 1, 0, 0, 1, 14]
    assert list(seen.places_of(14)) == [At(0, 7, 0)]


def test_a_batch_longer_than_the_window_or_than_what_is_kept_together_is_blanked_where_it_is_kept() -> None:
    keys = list(range(2, 12_002, 2))
    for window in (5_999, 6_000, 50, 1):
        seen, each = SeenEvents(window), batch(0, keys)
        seen.add(each)
        seen.take_back(each, {(0, 0, 0), *((0, offset, 0) for offset in range(4_000, 5_999))})
        expected = np.array(keys)
        expected[[0, *range(4_000, 5_999)]] = 0
        assert seen.entries().tolist() == expected[-window:].tolist()


def test_a_learner_blanks_what_it_refuses() -> None:
    told = Told(dedupe_window=100)
    told.events(every(range(2), 10), seed=1)
    wrong = points([1], seed=5)
    event = event_batch(told.model.schema, wrong, ["c0"]).events
    control = Control(at=1, partition=0, offset=99, row=0, request=RetractionRequest(event=event, of=place(10**6)))
    each = told.batch(wrong, [1], controls=[control])
    report = told.learner.learn(replace(each, seen=np.append(each.seen, np.array([90, 11], dtype=np.uint64))))
    assert [outcome.result for outcome in report.controls] == ["refused"]
    assert told.learner.seen.entries()[-3:].tolist() == [each.seen[0], 0, 1]
