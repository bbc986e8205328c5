"""What is found at the end of the update topic by stepping back from it."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from penstock.adapters.kafka.log_reader import Entry
from penstock.adapters.kafka.tail import Tail, condensed, read_tail
from penstock.flow import Claim, LogRecord, ModelUpdate, Recorded, Withdrawal
from penstock.wire.model_update import encode_record
from update_records import delta_of, recorded_of, update_of

MODEL = "m"


@dataclass
class Log:
    """Entries in memory, at offsets that may have gaps; counts what is read."""

    entries: list[Entry]
    low: int = 0
    num_read: int = field(default=0, init=False)

    def ends(self) -> tuple[int, int]:
        return self.low, (self.entries[-1].offset + 1 if self.entries else self.low)

    def read(self, start: int, end: int) -> list[Entry]:
        found = [entry for entry in self.entries if start <= entry.offset < end]
        self.num_read += len(found)
        return found


def log_of(*records: LogRecord) -> Log:
    return Log(entries=[Entry(offset=offset, record=record) for offset, record in enumerate(records)])


@st.composite
def trainers_in_turn(draw: st.DrawFn) -> Log:
    """Trainers one after the other, each claiming, announcing, repeating its claim; then compacted at random."""
    records: list[LogRecord] = []
    version = 0
    for epoch, num_updates in enumerate(draw(st.lists(st.integers(0, 40), min_size=1, max_size=4)), 1):
        records.append(Claim(epoch=epoch, holder=f"trainer-{epoch}"))
        for number in range(num_updates):
            if number % 15 == 14:
                records.append(Claim(epoch=epoch, holder=f"trainer-{epoch}"))
            version += 1
            whole, delta = update_of(MODEL, version=version, epoch=epoch), delta_of(MODEL, version=version, epoch=epoch)
            records.append(draw(st.sampled_from((whole, delta))))
            if draw(st.integers(0, 9)) == 0:
                records.append(recorded_of(MODEL, version=version, epoch=epoch))
        if draw(st.booleans()):
            records.append(Withdrawal(model=MODEL))
    entries = [Entry(offset=offset, record=record) for offset, record in enumerate(records)]
    compacted_until = draw(st.integers(0, len(entries)))
    return Log(entries=compacted(entries, compacted_until), low=0)


def compacted(entries: list[Entry], until: int) -> list[Entry]:
    """Kafka's rule: below `until` an entry stays only if no later one has its key."""

    def key(entry: Entry) -> bytes:
        return encode_record(entry.record, MODEL)[0]

    return [
        entry
        for index, entry in enumerate(entries)
        if entry.offset >= until or all(key(entry) != key(later) for later in entries[index + 1 :])
    ]


@given(trainers_in_turn())
def test_stepping_back_finds_what_reading_everything_finds(log: Log) -> None:
    everything = Tail(entries=tuple(log.entries), end=log.ends()[1])
    tail = read_tail(log)
    assert tail.newest_update == everything.newest_update
    assert tail.highest_version == everything.highest_version
    assert tail.highest_epoch == everything.highest_epoch
    assert tail.end == everything.end


@given(trainers_in_turn())
def test_what_is_kept_is_in_log_order_and_holds_one_update_an_epoch_of_either_kind(log: Log) -> None:
    kept = condensed(log.entries)
    assert [entry.offset for entry in kept] == sorted(entry.offset for entry in kept)
    updates = [entry.record for entry in kept if isinstance(entry.record, ModelUpdate)]
    kinds = [(update.epoch, update.delta is None) for update in updates]
    assert len(kinds) == len(set(kinds))
    assert [entry for entry in kept if isinstance(entry.record, Recorded)] == [
        entry for entry in log.entries if isinstance(entry.record, Recorded)
    ][-1:]
    assert [entry for entry in kept if isinstance(entry.record, Claim)] == [
        entry for entry in log.entries if isinstance(entry.record, Claim)
    ]


def test_a_long_log_is_not_read_to_its_start() -> None:
    records: list[LogRecord] = [Claim(epoch=1, holder="a")]
    for version in range(1, 5000):
        records += [Claim(epoch=1, holder="a")] if version % 15 == 0 else []
        records.append(update_of(MODEL, version=version))
    log = log_of(*records)
    assert read_tail(log).highest_version == 4999
    assert log.num_read <= 16


def test_an_empty_log_has_no_epoch_no_version_and_no_update() -> None:
    tail = read_tail(Log(entries=[], low=7))
    assert (tail.highest_epoch, tail.highest_version, tail.newest_update, tail.end) == (0, 0, None, 7)


def test_a_late_update_of_a_fenced_trainer_counts_for_its_version_only() -> None:
    first, late = update_of(MODEL, version=1), update_of(MODEL, version=2)
    tail = read_tail(log_of(Claim(epoch=1, holder="a"), first, Claim(epoch=2, holder="b"), late))
    assert tail.newest_update == first
    assert tail.highest_version == 2
    assert tail.highest_epoch == 2


def test_an_update_proves_the_epoch_whose_claim_is_gone() -> None:
    tail = read_tail(log_of(Claim(epoch=1, holder="late"), update_of(MODEL, version=1, epoch=6)))
    assert tail.highest_epoch == 6
