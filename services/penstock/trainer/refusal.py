"""What the gate says of a candidate that stays behind."""

from dataclasses import dataclass, field

from penstock.learning.champion import Verdict


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A candidate that was not announced: its version, and why, for the record."""

    version: int
    verdict: Verdict
    sentence: str
    at_ms: int
    losing: tuple[str, ...] = field(default=())
