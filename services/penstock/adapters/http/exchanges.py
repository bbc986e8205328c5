"""A request on the short way, as far as uvicorn knows its own `RequestResponseCycle`."""


class Exchange:
    """What uvicorn asks of it."""

    __slots__ = ("disconnected", "keep_alive", "more_body", "response_complete")

    def __init__(self) -> None:
        self.response_complete = False
        self.more_body = False
        self.disconnected = False
        self.keep_alive = True

    @property
    def message_event(self) -> "Exchange":
        return self

    def set(self) -> None:
        """Nobody waits for messages."""
