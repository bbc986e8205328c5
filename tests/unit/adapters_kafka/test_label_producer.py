"""What cannot even be queued is one more message that was not delivered, and a wrong option a sentence."""

import pytest

from penstock.adapters.kafka.label_producer import LabelProducer, Outgoing
from penstock.errors import ConfigurationError

NOBODY = "127.0.0.1:9"


def test_a_message_larger_than_the_producer_takes_has_failed() -> None:
    producer = LabelProducer({"bootstrap.servers": NOBODY, "message.max.bytes": 2000}, "m.labels")
    producer.send(Outgoing(value=b"x" * 5000, content_type="application/json", num_events=1))
    assert producer.events_delivered == 0
    assert producer.first_failure is not None
    assert "Message size too large" in producer.first_failure


def test_an_option_that_no_producer_takes_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r'^kafka: Invalid value "tight" for .*"compression\.codec"'):
        LabelProducer({"bootstrap.servers": NOBODY, "compression.type": "tight"}, "m.labels")
