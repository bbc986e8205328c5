"""A clock for tests that decide what time it is."""


class SteppedClock:
    """Time that passes only when told to, or while a scripted poll waits."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic_seconds(self) -> float:
        return self.seconds

    def now_ms(self) -> int:
        return round(self.seconds * 1000)
