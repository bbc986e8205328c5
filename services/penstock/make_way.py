"""Long work that lets others in: whoever does it calls a `MakeWay` between steps of a fraction of a millisecond."""

from collections.abc import Callable

MakeWay = Callable[[], None]


def go_on() -> None:
    """Nobody waits."""
