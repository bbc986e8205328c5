"""The same event delivered twice: learnt once, as long as the second comes within the window.

The window is counted in accepted events in the order in which they are learnt. What it holds travels with the batches
into the checkpoint (`Noted.entries`), so that a run that is taken up again decides as the one that was broken off.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from penstock.wire.event_keys import NO_KEYS, Keys

Mask = npt.NDArray[np.bool_]

RECALL: Final = 8
"""Beyond the window so many times its length is remembered, to count repeats that are learnt again."""
FORGET: Final = np.uint64(1)
"""The lowest bit of an entry: the key is to be forgotten, not remembered."""


@dataclass(frozen=True, kw_only=True)
class Noted:
    """`is_new` bool [n]: no repeat within the window; `num_again`: repeats beyond it; `entries` [m]: for `Repeats`."""

    is_new: Mask
    num_again: int
    entries: Keys


class Repeats:
    """Which events were seen before.

    Args:
        window_events: how many events back a repeat is found.
        entries: those of the batches learnt so far, as `note` gave them, the last `window_events` at least.
    """

    def __init__(self, window_events: int, entries: Keys = NO_KEYS) -> None:
        self._window = window_events
        self._seen: dict[int, int] = {}
        """By key, when it was seen last, oldest first but for what was `put`."""
        self._count = 0
        for entry in entries.tolist():
            if entry & int(FORGET):
                self._seen.pop(entry & ~int(FORGET), None)
            else:
                self._remember(entry)

    def __len__(self) -> int:
        """How many ids are remembered."""
        return len(self._seen)

    @staticmethod
    def listed(keys: Keys) -> list[int]:
        """The keys [n] as they are remembered."""
        found: list[int] = (keys & ~FORGET).tolist()
        return found

    @property
    def count(self) -> int:
        """The number that the next event has."""
        return self._count

    def seen_at(self, key: int) -> int | None:
        """The number of the newest event with this key, as `listed`; None if it is not remembered."""
        return self._seen.get(key)

    def put(self, key: int, seen_at: int | None) -> None:
        """Let this key have been seen as that number, or not at all; the window moves on as if nothing had changed."""
        self._seen.pop(key, None)
        if seen_at is not None:
            self._seen[key] = seen_at

    def note(
        self, keys: Keys, *, is_exempt: Callable[[int], bool] = lambda _: False, forgotten: Keys = NO_KEYS
    ) -> Noted:
        """Take the next events, by the keys [n] of their ids, in order.

        Those at positions that are exempt are never repeats; it is asked only where it matters. Keys `forgotten` are
        as if they had never been seen, from the next call on: their events were retracted. A call of repeats alone
        forgets nothing.
        """
        keys = keys & ~FORGET
        listed = keys.tolist()
        if self._seen.keys().isdisjoint(listed) and len(set(listed)) == len(listed):
            self._seen.update(zip(listed, range(self._count, self._count + len(listed)), strict=True))
            self._count += len(listed)
            is_new, num_again = np.ones(len(listed), dtype=np.bool_), 0
        else:
            is_new, num_again = self._one_by_one(listed, is_exempt)
        if not is_new.any():
            forgotten = NO_KEYS
        for key in self.listed(forgotten):
            self._seen.pop(key, None)
        self._limit()
        return Noted(is_new=is_new, num_again=num_again, entries=np.concatenate((keys[is_new], forgotten | FORGET)))

    def _one_by_one(self, keys: list[int], is_exempt: Callable[[int], bool]) -> tuple[Mask, int]:
        is_new, num_again = np.ones(len(keys), dtype=np.bool_), 0
        for position, key in enumerate(keys):
            seen_at = self._seen.get(key)
            if seen_at is not None and not is_exempt(position):
                if self._count - seen_at <= self._window:
                    is_new[position] = False
                    continue
                num_again += 1
            self._remember(key)
        return is_new, num_again

    def _remember(self, key: int) -> None:
        self._seen.pop(key, None)
        self._seen[key] = self._count
        self._count += 1

    def _limit(self) -> None:
        excess = len(self._seen) - (1 + RECALL) * self._window
        for key in list(islice(self._seen, max(excess, 0))):
            del self._seen[key]
