"""The feed process's end: reads the topic, decodes and digests while a replica that wants to know waits."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import structlog

from penstock.adapters.feed_process.channel import MOST_DESCRIPTORS, Channel
from penstock.adapters.feed_process.messages import (
    Answer,
    Away,
    Failed,
    Poll,
    Records,
    Request,
    Sent,
    Start,
)
from penstock.adapters.feed_process.shared_bytes import shared
from penstock.errors import ConfigurationError, UnavailableError
from penstock.flow import Claim, LogRecord, ModelUpdate
from penstock.learning.weights_content import Digest, MemoryContent
from penstock.learning.weights_layout import LENGTH_BYTES, is_finite
from penstock.make_way import MakeWay, go_on
from penstock.serving.ports import UpdateFeed
from penstock.wire.model_update import encode_record

OpenFeed = Callable[[Start, Callable[[str], None]], UpdateFeed]
"""The feed that a `Start` asks for; it tells the second why it has passed over a record."""


UNSENT = "unsent"
"""Why a record was passed over that another process would not understand."""

log = structlog.get_logger(__name__)


class FeedServer:
    """Serves one replica."""

    def __init__(self, channel: Channel, open_feed: OpenFeed, make_way: MakeWay = go_on) -> None:
        """`make_way` is called between steps of a fraction of a millisecond each."""
        self._channel = channel
        self._open_feed = open_feed
        self._make_way = make_way
        self._refused: list[str] = []

    def serve(self) -> None:
        """Until the replica has gone, or the topic cannot be followed."""
        try:
            start = self._next_request()
            assert isinstance(start, Start)  # a replica says first what it wants
            with closing(self._open_feed(start, self._refused.append)) as feed:
                while True:
                    self._answer(self._next_request(), feed, start.model)
        except (EOFError, BrokenPipeError):
            return

    def _next_request(self) -> Request:
        request: Request = self._channel.receive()[0]
        return request

    def _answer(self, request: Request, feed: UpdateFeed, model: str) -> None:
        """Raises `EOFError` after the last word."""
        try:
            records = feed.poll(request.timeout_seconds) if isinstance(request, Poll) else feed.newest()
        except UnavailableError as error:
            self._channel.send(Away(sentence=str(error)))
        except ConfigurationError as error:
            self._channel.send(Failed(sentence=str(error)))
            raise EOFError from None
        else:
            for answer, descriptors in self._answers(records, model):
                self._channel.send(answer, descriptors)

    def _answers(self, records: Sequence[LogRecord], model: str) -> Iterator[tuple[Answer, list[int]]]:
        for start in range(0, max(len(records), 1), MOST_DESCRIPTORS):
            sent, descriptors = self._all_sent(records[start : start + MOST_DESCRIPTORS], model)
            is_last = start + MOST_DESCRIPTORS >= len(records)
            refused = tuple(self._refused) if is_last else ()
            yield Records(records=sent, refused=refused, is_last=is_last), descriptors
        self._refused.clear()

    def _all_sent(self, records: Sequence[LogRecord], model: str) -> tuple[tuple[Sent, ...], list[int]]:
        """As they are handed on, and the descriptors of what they share."""
        sent: list[Sent] = []
        descriptors: list[int] = []
        for record in records:
            shared_before = len(descriptors)
            try:
                sent.append(self._sent(record, model, descriptors))
            except Exception:  # whatever a sender put on the topic, the process goes on
                log.exception("a record of the update topic cannot be handed on; it is skipped")
                for descriptor in descriptors[shared_before:]:
                    os.close(descriptor)
                del descriptors[shared_before:]
                self._refused.append(UNSENT)
        return tuple(sent), descriptors

    def _sent(self, record: LogRecord, model: str, descriptors: list[int]) -> Sent:
        is_checked = False
        if isinstance(record, ModelUpdate) and record.inline is not None:
            header_bytes = int.from_bytes(record.inline[:LENGTH_BYTES], "little")
            descriptors.append(shared(record.inline, aligned_at=LENGTH_BYTES + header_bytes, make_way=self._make_way))
            digest = Digest(MemoryContent(record.inline), self._make_way).hexdigest
            is_announced = (digest, len(record.inline)) == (record.sha256, record.size_bytes)
            is_checked = is_announced and is_finite(record.inline, self._make_way)
            record = replace(record, inline=b"")
        elif isinstance(record, ModelUpdate) and record.delta is not None:
            descriptors.append(shared(record.delta.content, make_way=self._make_way))
            record = replace(record, delta=replace(record.delta, content=b""))
        key, value = encode_record(record, model if isinstance(record, Claim) else record.model)
        return Sent(key=key, value=value, is_checked=is_checked)
