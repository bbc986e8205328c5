"""The classes that are asleep, and what wakes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from penstock.flow import Array
from penstock.learning.packet import Packet

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Sleeper:
    """A class asleep since `since` events of the stream.

    Until something is learnt its part of every head stays where it is, unanswered (`has_left` False), so that waking
    at once changes nothing at all. `in_sums` says that G holds its rows.
    """

    packet: Packet
    content: bytes = field(repr=False)
    since: int
    has_left: bool = False
    in_sums: bool = True


class Sleepers:
    """By class index."""

    def __init__(self) -> None:
        self._by_index: dict[int, Sleeper] = {}

    def __len__(self) -> int:
        return len(self._by_index)

    def __contains__(self, index: int) -> bool:
        return index in self._by_index

    def __getitem__(self, index: int) -> Sleeper:
        return self._by_index[index]

    def get(self, index: int) -> Sleeper | None:
        """The class if it sleeps."""
        return self._by_index.get(index)

    @property
    def labels(self) -> tuple[int, ...]:
        """Indices of all of them."""
        return tuple(self._by_index)

    @property
    def dozing(self) -> Int64s:
        """Those whose part of the heads has not left yet."""
        return np.array([index for index, each in self._by_index.items() if not each.has_left], dtype=np.int64)

    def put(self, index: int, sleeper: Sleeper) -> None:
        """A class falls asleep, or what is known of one that sleeps changes."""
        self._by_index[index] = sleeper

    def take(self, index: int) -> Sleeper:
        """It is asleep no longer."""
        return self._by_index.pop(index)

    def have_left(self) -> None:
        """What dozed has left every head."""
        self._by_index = {index: replace(each, has_left=True) for index, each in self._by_index.items()}

    def are_out_of_sums(self) -> None:
        """G has been rebuilt from rows that are kept, and theirs are not."""
        self._by_index = {
            index: replace(each, in_sums=each.in_sums and not each.has_left) for index, each in self._by_index.items()
        }

    def packets(self) -> dict[str, bytes]:
        """The packets' files by name."""
        return {each.packet.file_name: each.content for each in self._by_index.values()}

    def state(self) -> dict[str, Array]:
        """All but the packets."""
        rows = [(index, each.since, each.has_left, each.in_sums) for index, each in self._by_index.items()]
        return {"sleepers": np.array(rows, dtype=np.int64).reshape(-1, 4)}

    def load(self, arrays: Mapping[str, Array], packets: Mapping[str, bytes]) -> None:
        """Take up `state()` and `packets()`.

        Raises:
            ValueError: a packet is missing.
            InvalidEventError: a packet is not whole.
        """
        contents = {packet.index: (packet, content) for packet, content in map(_read, packets.values())}
        self._by_index = {}
        for index, since, has_left, in_sums in arrays["sleepers"].astype(np.int64).tolist():
            if index not in contents:
                raise ValueError(f"the packet of class {index}, which is asleep, is missing")
            packet, content = contents[index]
            self._by_index[index] = Sleeper(
                packet=packet, content=content, since=since, has_left=bool(has_left), in_sums=bool(in_sums)
            )


def _read(content: bytes) -> tuple[Packet, bytes]:
    return Packet.from_bytes(content), content
