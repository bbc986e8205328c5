"""What lies between where a reader wants to go on and what the log of a partition still holds."""

from dataclasses import dataclass

from penstock.flow import LossReason

ACCEPT = "`penstock train --accept-loss` goes on from what is there and records the loss."
"""How to go on; ends the sentences about a gap."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Offsets `wanted` and `resumed_at`, from which the log can be read on, with what is missing in between.

    `num_events` counts offsets, which for a log without compaction and transactions are events.
    """

    partition: int
    wanted: int
    resumed_at: int
    reason: LossReason
    num_events: int

    def sentence(self, topic: str) -> str:
        """For an operator; says which partition and how many events."""
        where = f"{topic!r} partition {self.partition}"
        if self.reason == "retention":
            return (
                f"{self.num_events} events of {where} are gone: the checkpoint continues at offset {self.wanted}, but "
                f"the log now begins at {self.resumed_at}. Raise the topic's retention."
            )
        return (
            f"The checkpoint continues {where} at offset {self.wanted}, but the log ends at {self.resumed_at}: the "
            f"topic was made anew, or the broker lost {self.num_events} events."
        )


def gap_at(partition: int, *, wanted: int, low: int, end: int) -> Gap | None:
    """The gap in front of a reader that wants `wanted` of a log with the offsets `low` to `end`; None if all is there.

    A log that ends too early is read on from its end: what is appended there has never been learnt.
    """
    if wanted < low:
        return Gap(partition=partition, wanted=wanted, resumed_at=low, reason="retention", num_events=low - wanted)
    if wanted > end:
        return Gap(partition=partition, wanted=wanted, resumed_at=end, reason="truncated", num_events=wanted - end)
    return None
