"""Arrays by name of which some are worked out late, so that taking them does not hold up whoever goes on learning."""

from collections.abc import Callable, Iterator, Mapping

from penstock.flow import Array


class LateArrays(Mapping[str, Array]):
    """`ready` arrays, and `late` ones that are worked out when first asked for, in the thread that asks.

    A late one must be made from values that do not change any more. Not thread-safe: one reader at a time.
    """

    def __init__(self, ready: Mapping[str, Array], late: Mapping[str, Callable[[], Array]]) -> None:
        self._ready, self._late = dict(ready), dict(late)

    def __or__(self, others: Mapping[str, Array]) -> "LateArrays":
        """With more arrays that are ready."""
        return LateArrays({**self._ready, **others}, self._late)

    def __getitem__(self, name: str) -> Array:
        if name in self._late:
            self._ready[name] = self._late.pop(name)()
        return self._ready[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._ready, *self._late}))

    def __len__(self) -> int:
        return len(self._ready) + len(self._late)
