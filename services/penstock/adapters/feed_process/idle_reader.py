"""Weights are taken out of their text by an `IdleProcess` if it has done so in time, and here if not."""

import os
import time
from collections.abc import Callable, Sequence

import structlog

from penstock.adapters.feed_process.idle_messages import Outcome, Read, Text
from penstock.adapters.feed_process.idle_process import IdleProcess
from penstock.adapters.feed_process.shared_bytes import shared
from penstock.adapters.feed_process.shared_weights import SharedWeights, as_content
from penstock.make_way import MakeWay
from penstock.wire.inline_weights import PIECE, read_in_pieces

PATIENCE_SECONDS = 0.05
"""A core that is half free has time for a megabyte of weights in a fifth of this."""

log = structlog.get_logger(__name__)


class IdleReader:
    """Not thread-safe."""

    def __init__(self, start: Callable[[], IdleProcess], make_way: MakeWay) -> None:
        """`start` is called at once; if it raises `OSError` everything is read here. So is `make_way` between steps."""
        self._make_way = make_way
        self._is_behind = False
        self._process: IdleProcess | None = None
        try:
            self._process = start()
        except OSError as error:
            log.debug("weights are read at low priority only", reason=str(error))

    def __call__(self, text: memoryview) -> memoryview | None:
        """As `wire.inline_weights.read_in_pieces`; what the process has read lies in memory that can be handed on."""
        outcome = self._asked(text) if len(text) > PIECE else None
        if outcome is None:
            return read_in_pieces(text, self._make_way)
        said, descriptors = outcome
        if not isinstance(said, Read):
            return None
        (descriptor,) = descriptors
        return as_content(SharedWeights(descriptor, said.sha256, said.size_bytes, said.is_finite))

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.end()
        self._process = None

    def _asked(self, text: memoryview) -> tuple[Outcome, Sequence[int]] | None:
        """None if it is not there in time."""
        if self._process is None:
            return None
        try:
            if self._is_behind and not self._has_caught_up():
                return None
            deadline = time.monotonic() + PATIENCE_SECONDS
            self._process.channel.send(Text(), [shared(text, make_way=self._make_way)])
            self._is_behind = not self._process.channel.is_readable(deadline)
            return None if self._is_behind else self._process.channel.receive()
        except (EOFError, OSError) as error:
            log.warning("weights are not read in idle time any more", reason=str(error) or "the process ended")
            self.close()
            return None

    def _has_caught_up(self) -> bool:
        """With the text that was not waited for any longer; what came of it is let go."""
        assert self._process is not None  # only a process can be behind
        if not self._process.channel.is_readable(time.monotonic()):
            return False
        for descriptor in self._process.channel.receive()[1]:
            os.close(descriptor)
        return True
