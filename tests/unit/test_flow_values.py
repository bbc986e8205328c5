"""The nouns keep their promises: offsets are next offsets, instants round-trip."""

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.clock import EARLIEST_MS, LATEST_MS, from_rfc3339, to_rfc3339
from penstock.flow import ClassRequest, Control, EventBatch, ModelUpdate, Offsets

offsets = st.dictionaries(st.integers(0, 8), st.integers(0, 2**40)).map(lambda next_: Offsets(next=next_))


@given(offsets)
def test_offsets_survive_json(value: Offsets) -> None:
    assert Offsets.from_json(value.to_json()) == value


@given(offsets, offsets)
def test_only_one_of_two_offsets_can_be_ahead(one: Offsets, other: Offsets) -> None:
    assert not (one.is_ahead_of(other) and other.is_ahead_of(one))
    assert not one.is_ahead_of(one)


@given(offsets, st.integers(0, 8), st.integers(1, 100))
def test_reading_on_puts_offsets_ahead(value: Offsets, partition: int, count: int) -> None:
    later = value.advanced_to(Offsets(next={partition: value[partition] + count}))
    assert later.is_ahead_of(value)


def test_ahead_in_one_partition_and_behind_in_another_is_not_ahead() -> None:
    assert not Offsets(next={0: 9, 1: 1}).is_ahead_of(Offsets(next={0: 5, 1: 2}))


@given(st.integers(EARLIEST_MS, LATEST_MS + 999))
@example(EARLIEST_MS)
@example(LATEST_MS + 999)
def test_instants_round_trip_to_the_millisecond(epoch_ms: int) -> None:
    assert from_rfc3339(to_rfc3339(epoch_ms)) == epoch_ms


def test_an_instant_is_utc_with_milliseconds() -> None:
    assert to_rfc3339(1_767_225_600_250) == "2026-01-01T00:00:00.250Z"
    with pytest.raises(ValueError, match="names no time zone"):
        from_rfc3339("2026-01-01T00:00:00")


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.9-23:59", "9999-12-31T23:59:59.999999Z"]
)
def test_an_instant_that_cannot_be_written_again_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="outside the years 1 to 9999 in UTC"):
        from_rfc3339(text)


@pytest.mark.parametrize(("inline", "uri"), [(None, None), (b"w", "file:///w")])
def test_an_update_carries_weights_in_exactly_one_way(inline: bytes | None, uri: str | None) -> None:
    with pytest.raises(ValueError, match="either inline or by URI or as a delta"):
        ModelUpdate(
            model="m",
            version=1,
            epoch=1,
            sha256="",
            size_bytes=1,
            class_ledger_digest="",
            trained_until_ms=0,
            announced_at_ms=0,
            offsets=Offsets(),
            metrics={},
            inline=inline,
            uri=uri,
        )


@settings(deadline=None)  # the first example imports Arrow
@given(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=4), st.integers(1, 5))
def test_a_batch_in_pieces_has_every_event_and_every_control_at_its_place(
    num_events: int, places: list[int], max_events: int
) -> None:
    controls = tuple(
        Control(at=at, partition=0, offset=number, row=0, request=ClassRequest(verb="wake", tenant="t"))
        for number, at in enumerate(sorted(min(place, num_events) for place in places))
    )
    batch = EventBatch(
        events=pa.RecordBatch.from_pydict({"n": list(range(num_events))}),
        offsets=Offsets(),
        closed_by="size",
        age_seconds=0.0,
        controls=controls,
    )
    met: list[int] = []
    carried_out: list[Control] = []
    for piece in batch.pieces(max_events):
        if isinstance(piece, Control):
            assert len(met) == piece.at
            carried_out.append(piece)
        else:
            assert 1 <= piece.num_rows <= max_events
            met.extend(piece.column("n").to_pylist())
    assert met == list(range(num_events))
    assert tuple(carried_out) == controls
