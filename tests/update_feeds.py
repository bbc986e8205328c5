"""Both ways in which the update topic is read: in this process, and in one of its own as a replica does it."""

from collections.abc import Callable, Mapping
from typing import Any

from penstock.adapters.feed_process.client import FeedProcess
from penstock.adapters.feed_process.messages import Start
from penstock.adapters.kafka.update_feed import KafkaUpdateFeed
from penstock.processes.feed import COMMAND
from penstock.serving.ports import UpdateFeed
from penstock.wire.signature import SigningKeys
from waiting import PATIENCE_SECONDS


def here(
    options: Mapping[str, Any],
    model: str,
    *,
    timeout_seconds: float = PATIENCE_SECONDS,
    signing_keys: SigningKeys | None = None,
    on_refused: Callable[[str], None] = lambda _: None,
) -> KafkaUpdateFeed:
    """A feed in this process."""
    return KafkaUpdateFeed(
        options, model, timeout_seconds=timeout_seconds, signing_keys=signing_keys, on_refused=on_refused
    )


def in_a_process(
    options: Mapping[str, Any],
    model: str,
    *,
    timeout_seconds: float = PATIENCE_SECONDS,
    signing_keys: SigningKeys | None = None,
    on_refused: Callable[[str], None] = lambda _: None,
) -> FeedProcess:
    """The same in a process of its own."""
    keys = None if signing_keys is None else signing_keys.keys
    start = Start(model=model, kafka=options, timeout_seconds=timeout_seconds, signing_keys=keys)
    return FeedProcess(COMMAND, start, on_refused=on_refused)


FEEDS: Mapping[str, Callable[..., UpdateFeed]] = {"here": here, "in a process": in_a_process}
