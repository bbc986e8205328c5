"""Which topic it is that has a name: its id (KIP-516), which a topic made anew under the same name does not share.

Clients do not tell: one that reads goes on in the new topic at the offset it had reached in the old one.
"""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection

from penstock.adapters.kafka.catalog import MISSING
from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import address, connect_admin, unanswered
from penstock.adapters.kafka.health import BrokerHealth
from penstock.errors import RetentionError, UnavailableError

NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
"""What brokers older than topic ids give: sixteen zeros, in base64."""


CONFIRM_SECONDS = 1.0
"""How long a checkpoint waits for a broker that may be away."""


class TopicIdentity:
    """Asks brokers for a topic's id. Used by one thread at a time; connects with the first question."""

    def __init__(self, options: Mapping[str, KafkaValue], topic: str, *, timeout_seconds: float = 5.0) -> None:
        self._options = options
        self._topic = topic
        self._timeout_seconds = timeout_seconds
        self._health = BrokerHealth(address(options))
        self._admin: Any = None

    def read(self, timeout_seconds: float | None = None) -> str | None:
        """The id of the topic that has the name now; None of brokers without ids, and if there is no such topic.

        Raises:
            UnavailableError: the broker does not answer.
        """
        patience = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        if self._admin is None:
            self._admin = connect_admin(self._options, self._health)
        asked = self._admin.describe_topics(TopicCollection([self._topic]), request_timeout=patience)
        try:
            topic_id = str(asked[self._topic].result(patience + 1).topic_id)
        except KafkaException as error:
            if error.args[0].code() in MISSING:
                return None
            raise unanswered(error, self._health) from None
        except TimeoutError:
            raise unanswered(KafkaException(KafkaError(KafkaError._TIMED_OUT)), self._health) from None
        self._health.answered()
        return None if topic_id == NO_ID else topic_id

    def confirm(self, topic_id: str | None) -> None:
        """As `trainer.ports.LabelTopic.confirm`."""
        if topic_id is None:
            return
        try:
            found = self.read(CONFIRM_SECONDS)
        except UnavailableError:
            return  # what was learnt came from a broker that answered, and nothing new comes meanwhile
        if found is not None and found != topic_id:
            raise RetentionError(
                f"The topic {self._topic!r} was deleted and made anew while it was read (topic id {topic_id} before, "
                f"{found} now). Checkpoints hold nothing of the new one yet; `penstock train --accept-loss` goes on "
                "from its start."
            )
