"""One writer: claims only grow, the older of two is fenced, an append returns once it is acknowledged."""

import itertools
import threading
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer

from kafka_brokers import Broker, create_model_topics, create_topic, new_name, produce
from penstock.adapters.kafka.health import BrokerHealth
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.log_reader import Entry, LogReader
from penstock.adapters.kafka.update_log import UPDATES_PER_CLAIM, Claimed, KafkaUpdateLog
from penstock.errors import ConfigurationError, FencedError, UnavailableError
from penstock.flow import Claim, LogRecord, ModelUpdate, Withdrawal
from penstock.wire.model_update import encode_record
from update_records import read_log, update_of, write_as_another
from waiting import PATIENCE_SECONDS

Open = Callable[..., KafkaUpdateLog]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Makes update logs, and closes them at the end."""
    logs: list[KafkaUpdateLog] = []

    def make(bootstrap_servers: str, model: str, timeout_seconds: float = PATIENCE_SECONDS) -> KafkaUpdateLog:
        log = KafkaUpdateLog({"bootstrap.servers": bootstrap_servers}, model, timeout_seconds=timeout_seconds)
        logs.append(log)
        return log

    yield make
    for log in logs:
        log.close()


def test_the_first_claim_has_epoch_one_and_finds_nothing(broker: Broker, model: str, opened: Open) -> None:
    claimed = opened(broker.bootstrap_servers, model).claim("a")
    assert claimed == Claimed(claim=Claim(epoch=1, holder="a"), highest_version=0, newest_update=None)
    assert read_log(broker.bootstrap_servers, model) == [Claim(epoch=1, holder="a")]


def test_an_appended_update_is_on_the_topic_when_append_returns(broker: Broker, model: str, opened: Open) -> None:
    log = opened(broker.bootstrap_servers, model)
    log.claim("a")
    log.append(update_of(model, version=1))
    log.append(update_of(model, version=2))
    assert read_log(broker.bootstrap_servers, model)[1:] == [update_of(model, version=1), update_of(model, version=2)]


def test_the_older_writer_is_fenced_and_appends_nothing(broker: Broker, model: str, opened: Open) -> None:
    older, newer = opened(broker.bootstrap_servers, model), opened(broker.bootstrap_servers, model)
    older.claim("older")
    older.append(update_of(model, version=1))
    claimed = newer.claim("newer")
    assert claimed.claim.epoch == 2
    assert claimed.highest_version == 1
    assert claimed.newest_update == update_of(model, version=1)
    with pytest.raises(FencedError, match=r"claimed by 'newer' with epoch 2, over our epoch 1"):
        older.append(update_of(model, version=2))
    newer.append(update_of(model, version=3, epoch=2))
    versions = [
        record.version for record in read_log(broker.bootstrap_servers, model) if isinstance(record, ModelUpdate)
    ]
    assert versions == [1, 3]


def test_a_fenced_writer_stays_fenced(broker: Broker, model: str, opened: Open) -> None:
    older, newer = opened(broker.bootstrap_servers, model), opened(broker.bootstrap_servers, model)
    older.claim("older")
    newer.claim("newer")
    for version in (1, 2):
        with pytest.raises(FencedError):
            older.append(update_of(model, version=version))


def test_epochs_only_grow_over_many_claims(broker: Broker, model: str, opened: Open) -> None:
    epochs = []
    for number in range(5):
        log = opened(broker.bootstrap_servers, model)
        epochs.append(log.claim(f"holder-{number}").claim.epoch)
        log.append(update_of(model, version=number + 1, epoch=epochs[-1]))
    assert epochs == [1, 2, 3, 4, 5]


def test_claims_at_the_same_moment_leave_exactly_one_writer(broker: Broker, model: str, opened: Open) -> None:
    logs = [opened(broker.bootstrap_servers, model) for _ in range(4)]
    together = threading.Barrier(len(logs))
    epochs: dict[int, int] = {}

    def claim(number: int) -> None:
        together.wait()
        epochs[number] = logs[number].claim(f"holder-{number}").claim.epoch

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(len(logs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert len(epochs) == len(logs)
    writers = []
    for number, log in enumerate(logs):
        try:
            log.append(update_of(model, version=number + 1, epoch=epochs[number]))
        except FencedError:
            continue
        writers.append(number)
    assert [epochs[number] for number in writers] == [max(epochs.values())]
    assert list(epochs.values()).count(max(epochs.values())) == 1


def test_a_claim_that_slipped_in_before_ours_makes_us_claim_higher(broker: Broker, model: str, opened: Open) -> None:
    log = SlowToClaim(broker, model)
    log.meanwhile = [Claim(epoch=1, holder="quick"), update_of(model, version=7)]
    try:
        claimed = log.claim("slow")
    finally:
        log.close()
    assert claimed.claim == Claim(epoch=2, holder="slow")
    assert claimed.highest_version == 7
    assert claimed.newest_update == update_of(model, version=7)


class SlowToClaim(KafkaUpdateLog):
    """Lets others write between reading the log and claiming."""

    def __init__(self, broker: Broker, model: str) -> None:
        super().__init__(broker.options, model)
        self._broker, self._name = broker, model
        self.meanwhile: list[LogRecord] = []
        self._num_claims = 0

    def _append_claim(self, *arguments: object) -> Claim:
        self._num_claims += 1
        assert self._num_claims <= 2, "it claims an epoch that is taken, again and again"
        write_as_another(self._broker.bootstrap_servers, self._name, *self.meanwhile)
        self.meanwhile = []
        return super()._append_claim(*arguments)  # type: ignore[arg-type]  # passed on as they came


def test_a_later_claim_of_the_same_epoch_fences(broker: Broker, model: str, opened: Open) -> None:
    log = opened(broker.bootstrap_servers, model)
    log.claim("a")
    write_as_another(broker.bootstrap_servers, model, Claim(epoch=1, holder="b"))
    with pytest.raises(FencedError, match="claimed by 'b' with epoch 1"):
        log.append(update_of(model, version=1))


def test_an_update_of_a_higher_epoch_fences_like_its_claim(broker: Broker, model: str, opened: Open) -> None:
    log = opened(broker.bootstrap_servers, model)
    log.claim("a")
    write_as_another(broker.bootstrap_servers, model, update_of(model, version=1, epoch=2))
    with pytest.raises(FencedError, match="with epoch 2"):
        log.append(update_of(model, version=1))


def test_records_of_others_that_are_no_claim_fence_nobody(broker: Broker, model: str, opened: Open) -> None:
    log = opened(broker.bootstrap_servers, model)
    log.claim("a")
    write_as_another(broker.bootstrap_servers, model, Withdrawal(model=model), Claim(epoch=1, holder="a"))
    produce(broker.bootstrap_servers, f"{model}.updates", [b"not json"], key=model.encode())
    log.append(update_of(model, version=1))
    assert read_log(broker.bootstrap_servers, model)[-1] == update_of(model, version=1)


def test_an_update_that_came_late_from_a_fenced_writer_is_not_the_newest(
    broker: Broker, model: str, opened: Open
) -> None:
    older = opened(broker.bootstrap_servers, model)
    older.claim("older")
    older.append(update_of(model, version=1))
    opened(broker.bootstrap_servers, model).claim("newer")
    write_as_another(broker.bootstrap_servers, model, update_of(model, version=2))
    claimed = opened(broker.bootstrap_servers, model).claim("newest")
    assert claimed.claim.epoch == 3
    assert claimed.highest_version == 2
    assert claimed.newest_update == update_of(model, version=1)


def test_the_claim_is_repeated_so_that_it_is_found_near_the_end(broker: Broker, model: str, opened: Open) -> None:
    log = opened(broker.bootstrap_servers, model)
    log.claim("a")
    for version in range(1, 4 * UPDATES_PER_CLAIM):
        log.append(update_of(model, version=version))
    records = read_log(broker.bootstrap_servers, model)
    claims = [position for position, record in enumerate(records) if isinstance(record, Claim)]
    assert all(later - earlier <= UPDATES_PER_CLAIM + 1 for earlier, later in itertools.pairwise(claims))
    assert len(records) - claims[-1] <= UPDATES_PER_CLAIM + 1
    assert {record for record in records if isinstance(record, Claim)} == {Claim(epoch=1, holder="a")}
    assert opened(broker.bootstrap_servers, model).claim("b").highest_version == 4 * UPDATES_PER_CLAIM - 1


def test_a_withdrawal_is_appended_as_a_tombstone(broker: Broker, model: str, opened: Open) -> None:
    log = opened(broker.bootstrap_servers, model)
    log.claim("a")
    log.append(update_of(model, version=1))
    log.withdraw()
    assert read_log(broker.bootstrap_servers, model)[-1] == Withdrawal(model=model)
    log.append(update_of(model, version=2))
    assert read_log(broker.bootstrap_servers, model)[-1] == update_of(model, version=2)


def test_half_a_megabyte_of_weights_travels_inline(broker: Broker, model: str, opened: Open) -> None:
    log = opened(broker.bootstrap_servers, model)
    log.claim("a")
    weights = bytes(range(256)) * 2048
    log.append(update_of(model, version=1, inline=weights))
    newest = opened(broker.bootstrap_servers, model).claim("b").newest_update
    assert newest is not None
    assert newest.inline == weights


def test_weights_larger_than_the_topic_takes_are_refused_with_a_sentence(kafka: LocalKafka, opened: Open) -> None:
    model = new_name()
    create_topic(
        kafka.bootstrap_servers, f"{model}.updates", 1, {"cleanup.policy": "compact", "max.message.bytes": 100_000}
    )
    log = opened(kafka.bootstrap_servers, model)
    log.claim("a")
    with pytest.raises(ConfigurationError, match=rf"'{model}.updates' takes; lower publish.inline_max_bytes"):
        log.append(update_of(model, version=1, inline=b"\x01" * 200_000))
    log.append(update_of(model, version=2))


@pytest.mark.parametrize(
    ("partitions", "policy", "sentence"),
    [
        (3, "compact", r"has 3 partitions; it must have exactly 1"),
        (1, "delete", r"has cleanup.policy=delete; it must be compact"),
    ],
)
def test_an_update_topic_of_the_wrong_shape_is_refused_with_a_sentence(
    kafka: LocalKafka, opened: Open, partitions: int, policy: str, sentence: str
) -> None:
    model = new_name()
    create_topic(kafka.bootstrap_servers, f"{model}.updates", partitions, {"cleanup.policy": policy})
    with pytest.raises(ConfigurationError, match=sentence):
        opened(kafka.bootstrap_servers, model).claim("a")


def test_a_topic_both_compacted_and_deleted_is_accepted(kafka: LocalKafka, opened: Open) -> None:
    model = new_name()
    create_topic(kafka.bootstrap_servers, f"{model}.updates", 1, {"cleanup.policy": "compact,delete"})
    assert opened(kafka.bootstrap_servers, model).claim("a").claim.epoch == 1


def test_three_partitions_are_refused_on_the_embedded_broker_too(broker: Broker, opened: Open) -> None:
    model = new_name()
    broker.create_topic(f"{model}.updates", 3)
    with pytest.raises(ConfigurationError, match="3 partitions"):
        opened(broker.bootstrap_servers, model).claim("a")


def test_a_missing_update_topic_is_named(broker: Broker, opened: Open) -> None:
    with pytest.raises(ConfigurationError, match=r"'nowhere.updates' does not exist .*`penstock topics create`"):
        opened(broker.bootstrap_servers, "nowhere").claim("a")


def test_a_broker_that_does_not_answer_is_unavailable(opened: Open, unused_address: str) -> None:
    with pytest.raises(UnavailableError, match=f"Kafka does not answer at {unused_address}"):
        opened(unused_address, "any", timeout_seconds=0.3).claim("a")


def test_entries_keep_their_place_in_the_log(broker: Broker, model: str) -> None:
    write_as_another(broker.bootstrap_servers, model, Claim(epoch=4, holder="a"), update_of(model, version=9, epoch=4))
    with LogReader(broker.options, f"{model}.updates", BrokerHealth(broker.bootstrap_servers)) as reader:
        assert reader.read(1, 2) == [Entry(offset=1, record=update_of(model, version=9, epoch=4))]
        assert reader.read(2, 2) == []


def test_offsets_that_hold_no_record_are_passed_over(kafka: LocalKafka, opened: Open) -> None:
    model = new_name()
    create_model_topics(kafka.bootstrap_servers, model)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": model, "log_level": 0})
    producer.init_transactions(20)
    for record in (Claim(epoch=3, holder="other"), update_of(model, version=5, epoch=3)):
        producer.begin_transaction()
        key, value = encode_record(record, model)
        producer.produce(f"{model}.updates", value, key)
        producer.commit_transaction(20)  # leaves a marker at an offset of its own
    log = opened(kafka.bootstrap_servers, model)
    claimed = log.claim("a")
    assert claimed.claim.epoch == 4
    assert claimed.newest_update == update_of(model, version=5, epoch=3)
    log.append(update_of(model, version=6, epoch=4))
    assert read_log(kafka.bootstrap_servers, model)[-1] == update_of(model, version=6, epoch=4)
