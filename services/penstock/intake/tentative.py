"""What a micro-batch changed in what was seen, until word has come on what the learner refuses of it.

What is refused has not been learnt: its id is free, and what a refused retraction names is as seen as it was before.
"""

from collections.abc import Collection, Iterable

Place = tuple[int, int, int]
"""Partition, offset and row."""


Change = tuple[Place, int, int | None]
"""By what stands at the place, this key came to be seen as that number, or with None to be forgotten."""


class Tentative:
    """The changes of one micro-batch in their order, and how all that it names was seen before."""

    def __init__(self) -> None:
        self._before: dict[int, int | None] = {}
        self._changes: list[Change] = []

    def touch(self, key: int, seen_at: int | None) -> None:
        """To be told before anything changes: as which number a key was seen last, if it was."""
        self._before.setdefault(key, seen_at)

    def add(self, changes: Iterable[Change]) -> None:
        """The next ones."""
        self._changes += changes

    def names(self, keys: Collection[int]) -> bool:
        """True if any of these is among its own."""
        return not self._before.keys().isdisjoint(keys)

    def without(self, refused: Collection[Place]) -> dict[int, int | None]:
        """Of the keys that were changed at these places: as what they were seen last, had nothing stood there."""
        concerned = {key for at, key, _ in self._changes if at in refused}
        seen = {key: self._before[key] for key in concerned}
        for at, key, seen_at in self._changes:
            if key in concerned and at not in refused:
                seen[key] = seen_at
        return seen
