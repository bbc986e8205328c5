"""What is held out: a fixed share of inputs, always the same ones, and never a row of one learnt by mistake."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from labelled_rows import PLANE, event_batch
from penstock.flow import ClassRequest, Control, EventBatch, EventPlace, RetractionRequest
from penstock.learning.held_out import HeldOutSlice
from penstock.wire.columns import TENANT

POINTS = np.random.default_rng(0).normal(size=(4000, 2))


def batch(rows: Sequence[int], *, first_offset: int = 0, label: str = "a") -> EventBatch:
    return event_batch(PLANE.schema, {"point": POINTS[list(rows)]}, [label] * len(rows), first_offset=first_offset)


def offsets(events: pa.RecordBatch) -> list[int]:
    found: list[int] = events.column("offset").to_pylist()
    return found


def slice_of(share: float, most: int = 10**6) -> HeldOutSlice:
    return HeldOutSlice(PLANE, share=share, most=most)


def test_the_share_is_held_out_and_the_rest_is_learnt() -> None:
    held_out = slice_of(0.2)
    learnt = held_out.without(batch(range(4000)))
    assert 700 < held_out.num_held_out < 900
    assert sorted(offsets(learnt.events) + offsets(held_out.events)) == list(range(4000))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), max_size=30), max_size=4))
def test_the_same_input_is_always_on_the_same_side(batches: list[list[int]]) -> None:
    held_out, sides = slice_of(0.5), dict[int, set[bool]]()
    for rows in batches:
        learnt = set(offsets(held_out.without(batch(rows)).events))
        for place, row in enumerate(rows):
            sides.setdefault(row, set()).add(place in learnt)
    assert all(len(side) == 1 for side in sides.values())


def test_a_correction_of_an_input_is_on_the_side_of_the_input() -> None:
    one, other = slice_of(0.5), slice_of(0.5)
    one.without(batch(range(200)))
    other.without(batch(range(200), label="corrected"))
    assert offsets(one.events) == offsets(other.events)


def test_only_the_newest_are_kept_but_all_are_counted() -> None:
    held_out = slice_of(0.5, most=100)
    for start in range(0, 4000, 500):
        held_out.without(batch(range(start, start + 500), first_offset=start))
    everything = slice_of(0.5)
    everything.without(batch(range(4000)))
    assert offsets(held_out.events) == offsets(everything.events)[-100:]
    assert held_out.num_held_out == everything.num_held_out > 1500


def test_controls_stay_at_their_places_among_the_events_that_are_left() -> None:
    request = ClassRequest(verb="hibernate", classes=("a",))
    whole = batch(range(50))
    controls = tuple(Control(at=at, partition=0, offset=1000 + at, row=0, request=request) for at in (0, 7, 7, 31, 50))
    left = slice_of(0.5).without(replace(whole, controls=controls))
    kept = offsets(left.events)
    for control in left.controls:
        before = control.offset - 1000
        assert control.at == sum(offset < before for offset in kept)


def test_a_retraction_of_an_event_held_out_undoes_nothing() -> None:
    held_out = slice_of(0.5)
    held_out.without(batch(range(100)))
    out = set(offsets(held_out.events))
    controls = tuple(
        Control(
            at=0,
            partition=0,
            offset=1000 + row,
            row=0,
            request=RetractionRequest(
                event=batch([row]).events, of=EventPlace(topic="plane.labels", partition=0, offset=row)
            ),
        )
        for row in range(100)
    )
    left = slice_of(0.5).without(replace(batch([]), controls=controls))
    assert {control.offset - 1000 for control in left.controls} == set(range(100)) - out


def test_batches_with_and_without_tenants_are_kept_together() -> None:
    held_out = slice_of(0.5)
    with_tenants = batch(range(50)).events.append_column(TENANT, pa.array(["t"] * 50))
    held_out.without(replace(batch(range(50)), events=with_tenants))
    held_out.without(batch(range(50, 100), first_offset=50))
    assert held_out.events.num_rows == held_out.num_held_out
    assert TENANT not in held_out.events.schema.names


def test_nothing_held_out_is_an_empty_batch_of_the_right_columns() -> None:
    assert slice_of(0.5).events.schema.names == batch([]).events.schema.names
