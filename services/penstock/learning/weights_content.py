"""The bytes of a weights file, wherever they lie, read stretch by stretch: a large file is never in memory twice."""

import hashlib
import weakref
from typing import BinaryIO, Protocol

from penstock.errors import RefusedUpdateError
from penstock.make_way import STEP_BYTES, MakeWay, go_on

CHUNK_BYTES = 1024 * 1024
MOST_STEPS = 16
"""Between which way is made: that takes as long as a small step. Digesting does not hold Python's lock."""


class Content(Protocol):
    """Bytes that do not change. Not thread-safe."""

    @property
    def size_bytes(self) -> int:
        """How many there are."""
        ...

    def read_into(self, offset: int, into: memoryview) -> None:
        """Fill `into`, of bytes, with those that begin at `offset`. Raises `RefusedUpdateError` where they end."""
        ...

    def view(self, offset: int, size_bytes: int) -> memoryview | None:
        """The bytes from `offset` on where they lie, if whoever has the view may do with them what it likes."""
        ...


class MemoryContent:
    """Bytes in memory; not copied."""

    def __init__(self, content: bytes | memoryview) -> None:
        self._content = memoryview(content)

    @property
    def size_bytes(self) -> int:
        return len(self._content)

    def read_into(self, offset: int, into: memoryview) -> None:
        """As `Content.read_into`."""
        if offset + len(into) > len(self._content):
            raise ended(offset + len(into), len(self._content))
        into[:] = self._content[offset : offset + len(into)]

    def view(self, offset: int, size_bytes: int) -> memoryview | None:
        """As `Content.view`."""
        return None if self._content.readonly else self._content[offset : offset + size_bytes]


class FileContent:
    """An open file of `size_bytes` that nobody writes to any more; closed when this is let go."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        weakref.finalize(self, file.close)
        self.size_bytes = size_bytes

    def read_into(self, offset: int, into: memoryview) -> None:
        """As `Content.read_into`."""
        self._file.seek(offset)
        filled = 0
        while filled < len(into):
            count = self._file.readinto(into[filled:])  # type: ignore[attr-defined]  # every binary file has it
            if not count:
                raise ended(offset + len(into), self.size_bytes)
            filled += count

    def view(self, offset: int, size_bytes: int) -> memoryview | None:
        """As `Content.view`: none."""
        return None


class Digest:
    """sha256 of all bytes, and of every whole number of chunks from their start.

    `make_way` is called between small steps.
    """

    def __init__(self, content: Content, make_way: MakeWay = go_on) -> None:
        self._states = [hashlib.sha256()]
        self.hexdigest = self._over(content, self._states[0].copy(), 0, make_way, keep=True)

    def with_changes_from(self, offset: int, content: Content, make_way: MakeWay = go_on) -> str:
        """The sha256 of a content whose bytes before `offset` are those that were digested here; reads the others."""
        chunk = min(offset // CHUNK_BYTES, len(self._states) - 1)
        return self._over(content, self._states[chunk].copy(), chunk * CHUNK_BYTES, make_way, keep=False)

    def _over(self, content: Content, state: "hashlib._Hash", start: int, make_way: MakeWay, *, keep: bool) -> str:
        buffer = memoryview(bytearray(min(STEP_BYTES, max(content.size_bytes - start, 0))))
        between = max(STEP_BYTES, (content.size_bytes - start) // MOST_STEPS)
        due = start
        for offset in range(start, content.size_bytes, STEP_BYTES):
            if offset >= due:
                make_way()
                due += between
            end = min(offset + STEP_BYTES, content.size_bytes)
            content.read_into(offset, buffer[: end - offset])
            state.update(buffer[: end - offset])
            if keep and end % CHUNK_BYTES == 0:
                self._states.append(state.copy())
        return state.hexdigest()


def read(content: Content, offset: int, size_bytes: int) -> bytes:
    """A stretch as bytes of its own. Raises `RefusedUpdateError` where they end."""
    found = bytearray(size_bytes)
    content.read_into(offset, memoryview(found))
    return bytes(found)


def ended(wanted: int, size_bytes: int) -> RefusedUpdateError:
    """The error of a file that is shorter than what was asked of it."""
    return RefusedUpdateError("format", f"The weights file ends after {size_bytes} bytes; {wanted} were asked for.")
