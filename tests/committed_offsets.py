"""The log of group offsets as a test sees it."""

from collections.abc import Callable

from penstock.flow import Offsets


class CommittedOffsets:
    """An `OffsetLog` without a broker: keeps what was committed last, and has the ends that the test gives it."""

    def __init__(self) -> None:
        self.committed = self.ends = Offsets()
        self.when_committing: Callable[[], None] = lambda: None

    def commit(self, offsets: Offsets) -> None:
        self.when_committing()
        self.committed = offsets

    def end_offsets(self) -> Offsets:
        return self.ends
