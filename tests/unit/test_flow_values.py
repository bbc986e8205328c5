"""The nouns keep their promises: offsets are next offsets, instants round-trip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.clock import from_rfc3339, to_rfc3339
from penstock.flow import ModelUpdate, Offsets

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


@given(st.integers(0, 4_102_444_800_000))
def test_instants_round_trip_to_the_millisecond(epoch_ms: int) -> None:
    assert from_rfc3339(to_rfc3339(epoch_ms)) == epoch_ms


def test_an_instant_is_utc_with_milliseconds() -> None:
    assert to_rfc3339(1_767_225_600_250) == "2026-01-01T00:00:00.250Z"
    with pytest.raises(ValueError, match="names no time zone"):
        from_rfc3339("2026-01-01T00:00:00")


@pytest.mark.parametrize(("inline", "uri"), [(None, None), (b"w", "file:///w")])
def test_an_update_carries_weights_in_exactly_one_way(inline: bytes | None, uri: str | None) -> None:
    with pytest.raises(ValueError, match="either inline or by URI"):
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
