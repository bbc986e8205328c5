"""What a row of docs/reliability.md is: a fault, what must hold, and how one try of it is played."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torture.workspace import Workspace

Figures = Mapping[str, float | Sequence[float]]
"""What one try measured, by name with its unit at the end: one number, or one for each time that it happened."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault of the table.

    Args:
        number: the row; several faults may share one.
        title: a few words; with `number` it names the fault.
        injected: what is done to the line, as a sentence of the table.
        must_hold: what must be true all the same, as a sentence of the table.
        short_tries: how many tries `make test` plays, each with a seed of its own; 0 where a cheaper test says as much.
        long_tries: how many `make torture` plays unless told otherwise.
        play: one try in a workspace of its own, from its seed alone. Raises `AssertionError` with a sentence if
            something does not hold.
        kills_per_try: how many kills a long try makes, where `make torture KILLS=…` says how many there are to be.
    """

    number: int
    title: str
    injected: str
    must_hold: str
    short_tries: int
    long_tries: int
    play: Callable[[Workspace, int], Figures]
    kills_per_try: int = 0

    @property
    def name(self) -> str:
        """`3-a-zombie-trainer`: what tests, folders and results call it."""
        return "-".join([str(self.number), *self.title.lower().replace(",", "").split()])

    def tries(self, kills: int | None) -> int:
        """How many tries a long run plays where `kills` are asked for."""
        if kills is None or not self.kills_per_try:
            return self.long_tries
        return max(1, -(-kills // self.kills_per_try))
