"""Control events from the command line: sent to the label topic, delivery confirmed, and seen carried out."""

import time
from dataclasses import dataclass

from penstock.adapters.kafka.label_producer import LabelProducer, Outgoing
from penstock.adapters.kafka.topic_ends import read_ends
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.kafka.update_feed import KafkaUpdateFeed
from penstock.adapters.mlflow.fetcher import ArtifactFetcher
from penstock.errors import StopError, UnavailableError
from penstock.flow import ClassRequest, ImportRequest, ModelUpdate
from penstock.learning.ledger import ClassLedger
from penstock.learning.weights import read_card
from penstock.processes.signing import serving_keys
from penstock.serving.weights_reader import whole_weights
from penstock.settings import Settings
from penstock.wire.control import CONTROL_TYPE, encode_control

PARTITION = 0
"""Every control goes to this partition, so that controls keep their order among themselves."""
POLL_SECONDS = 0.5
"""The longest that a waiting command stays with one poll."""
FLUSH_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Where a control event stands."""

    topic: str
    offset: int

    @property
    def place(self) -> str:
        return f"event {self.in_log} of {self.topic}"

    @property
    def in_log(self) -> str:
        """As a ledger says where a class was born."""
        return f"{PARTITION}:{self.offset}"


def announced(settings: Settings) -> tuple[ModelUpdate, ClassLedger]:
    """The newest update and its class ledger.

    Raises:
        StopError: nothing has been announced, or the weights cannot be had.
    """
    found = announced_so_far(settings)
    if found is None:
        raise StopError(
            f"No version of {settings.model.name} has been announced yet, so it has no classes; is `penstock train`"
            " running, and are events arriving?"
        )
    return found


def announced_so_far(settings: Settings) -> tuple[ModelUpdate, ClassLedger] | None:
    """As `announced`; None if nothing has been announced."""
    feed = KafkaUpdateFeed(settings.kafka, settings.model.name, signing_keys=serving_keys(settings))
    try:
        updates = [record for record in feed.newest() if isinstance(record, ModelUpdate)]
    finally:
        feed.close()
    newest = max(updates, key=lambda update: (update.epoch, update.version), default=None)
    return None if newest is None else (newest, ledger_of(settings, newest))


def ledger_of(settings: Settings, update: ModelUpdate) -> ClassLedger:
    fetcher = ArtifactFetcher(settings.mlflow, settings.serving.allowed_weights_prefixes)
    return read_card(whole_weights(update, fetcher)).ledger


def send(settings: Settings, request: ClassRequest | ImportRequest) -> Sent:
    """Send the control event and wait for its acknowledgement. Raises `UnavailableError`."""
    topic = TopicNames(settings.model.name).labels
    read_ends(settings.kafka, topic)  # a label topic that is missing is said now, not by a message timing out
    producer = LabelProducer(settings.kafka, topic)
    offsets: list[int] = []
    message = Outgoing(value=encode_control(request), content_type=CONTROL_TYPE, num_events=1, partition=PARTITION)
    producer.send(message, lambda _partition, offset: offsets.append(offset))
    while not producer.flush(FLUSH_SECONDS):
        pass
    if not offsets:
        raise UnavailableError(f"The control event was not delivered to {topic}: {producer.first_failure}.")
    return Sent(topic=topic, offset=offsets[0])


def wait_for(settings: Settings, sent: Sent, timeout_seconds: float) -> tuple[ModelUpdate, ClassLedger]:
    """The first update seen that has learnt up to the control event. Raises `UnavailableError` at the timeout."""
    deadline = time.monotonic() + timeout_seconds
    feed = KafkaUpdateFeed(settings.kafka, settings.model.name, signing_keys=serving_keys(settings))
    try:
        records = feed.newest()
        while True:
            for record in records:
                if isinstance(record, ModelUpdate) and record.offsets[PARTITION] > sent.offset:
                    return record, ledger_of(settings, record)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise UnavailableError(
                    f"No version with {sent.place} was announced within {timeout_seconds:g} s; it will be carried out"
                    " once a trainer reaches it: `penstock status` says how far it is."
                )
            records = feed.poll(min(remaining, POLL_SECONDS))
    finally:
        feed.close()
