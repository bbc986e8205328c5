"""What a replica process is told of the group that it is one of."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Membership:
    """Which of the group this is, and where its members meet.

    All listen on the same ports. Only one of them does so before it has a model: somebody must say that the replica
    is alive but not ready, and a process that comes later must not take connections from those that can answer.
    """

    number: int
    folder: Path
    listens_at_once: bool
