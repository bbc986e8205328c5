"""Which updates a replica tries: newest first, never an older, repeated or fenced one."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.flow import Claim, LogRecord, ModelUpdate, Withdrawal
from penstock.serving.backlog import KEPT, Backlog
from update_records import update_of

MODEL = "m"


def feed(backlog: Backlog, *records: LogRecord) -> list[str | None]:
    return [backlog.add(record, arrived_seconds=0.0) for record in records]


def versions(backlog: Backlog) -> list[int]:
    return [candidate.update.version for candidate in backlog.candidates]


def test_the_newest_update_comes_first_and_older_ones_stand_behind_it() -> None:
    backlog = Backlog(MODEL)
    feed(backlog, *(update_of(MODEL, version=version) for version in (1, 2, 3)))
    assert versions(backlog) == [3, 2, 1]


def test_only_the_newest_few_are_kept_however_many_are_queued() -> None:
    backlog = Backlog(MODEL)
    reasons = feed(backlog, *(update_of(MODEL, version=version) for version in range(1, 101)))
    assert versions(backlog) == [100, 99, 98, 97]
    assert reasons.count("skipped") == 100 - KEPT


def test_serving_one_gives_up_the_older_and_keeps_the_newer() -> None:
    backlog = Backlog(MODEL)
    feed(backlog, *(update_of(MODEL, version=version) for version in (1, 2, 3)))
    assert backlog.served(backlog.candidates[1]) == 1
    assert versions(backlog) == [3]


def test_an_update_of_a_lower_epoch_after_the_claim_is_fenced() -> None:
    backlog = Backlog(MODEL)
    reasons = feed(
        backlog,
        update_of(MODEL, version=5, epoch=1),
        Claim(epoch=2, holder="b"),
        update_of(MODEL, version=6, epoch=1),
    )
    assert reasons == [None, None, "fenced"]
    assert versions(backlog) == [5]


def test_an_update_of_a_lower_epoch_before_the_claim_is_the_last_word_of_the_trainer_before() -> None:
    backlog = Backlog(MODEL)
    assert feed(backlog, update_of(MODEL, version=5, epoch=1), Claim(epoch=2, holder="b")) == [None, None]
    assert versions(backlog) == [5]


def test_an_update_of_a_higher_epoch_fences_like_a_claim() -> None:
    backlog = Backlog(MODEL)
    reasons = feed(backlog, update_of(MODEL, version=5, epoch=3), update_of(MODEL, version=6, epoch=2))
    assert reasons == [None, "fenced"]


def test_repeated_and_older_updates_are_told_apart() -> None:
    backlog = Backlog(MODEL)
    feed(backlog, update_of(MODEL, version=5))
    backlog.served(backlog.candidates[0])
    assert feed(backlog, update_of(MODEL, version=5), update_of(MODEL, version=4)) == ["repeated", "older"]


def test_a_version_that_a_higher_epoch_uses_again_is_older() -> None:
    backlog = Backlog(MODEL)
    feed(backlog, update_of(MODEL, version=5, epoch=1))
    backlog.served(backlog.candidates[0])
    assert feed(backlog, update_of(MODEL, version=5, epoch=2)) == ["older"]


def test_the_update_of_another_model_is_dropped() -> None:
    assert feed(Backlog(MODEL), update_of("other", version=1)) == ["model"]


def test_a_withdrawal_holds_until_a_later_update_is_served() -> None:
    backlog = Backlog(MODEL)
    feed(backlog, update_of(MODEL, version=1))
    backlog.served(backlog.candidates[0])
    feed(backlog, Withdrawal(model="other"))
    assert not backlog.withdrawn
    feed(backlog, Withdrawal(model=MODEL))
    assert backlog.withdrawn
    feed(backlog, update_of(MODEL, version=2))
    assert backlog.withdrawn
    backlog.served(backlog.candidates[0])
    assert not backlog.withdrawn


def test_an_update_from_before_the_withdrawal_does_not_end_it() -> None:
    backlog = Backlog(MODEL)
    feed(backlog, update_of(MODEL, version=1), Withdrawal(model=MODEL))
    backlog.served(backlog.candidates[0])
    assert backlog.withdrawn


RECORDS: st.SearchStrategy[Claim | ModelUpdate] = st.one_of(
    st.builds(lambda epoch: Claim(epoch=epoch, holder="x"), st.integers(1, 4)),
    st.builds(
        lambda version, epoch: update_of(MODEL, version=version, epoch=epoch), st.integers(1, 12), st.integers(1, 4)
    ),
)


@given(st.lists(st.tuples(RECORDS, st.sampled_from(["serve", "refuse", "wait"])), max_size=40))
def test_what_is_served_only_moves_forward_and_is_never_fenced(steps: list[tuple[Claim | ModelUpdate, str]]) -> None:
    backlog = Backlog(MODEL)
    served = (0, 0)
    claimed = 0
    for record, action in steps:
        reason = backlog.add(record, arrived_seconds=0.0)
        if isinstance(record, Claim):
            claimed = max(claimed, record.epoch)
        elif reason is None:
            assert record.epoch >= claimed
            claimed = max(claimed, record.epoch)
        places = [candidate.place for candidate in backlog.candidates]
        assert places == sorted(set(places), reverse=True)
        assert len(places) <= KEPT
        if places and action == "serve":
            candidate = backlog.candidates[0]
            assert candidate.place > served
            assert candidate.update.version > served[1]
            served = candidate.place
            backlog.served(candidate)
        elif places and action == "refuse":
            backlog.refused(backlog.candidates[0])
