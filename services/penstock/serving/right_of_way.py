"""Requests first: whoever builds the next model stands back while a pass for a request is made."""

import time
from typing import Final

BREATH_SECONDS: Final = 0.0001
MOST_SECONDS: Final = 0.002


class RightOfWay:
    """Kept by whoever makes the passes; asked between the steps of a build.

    One thread of Python runs at a time, and torch lets the next one in at each of its operations. A build that went on
    in the middle of a pass would hold it up at each of them, for as long as one of its own steps takes; going on
    between two passes it holds up the next one once, by a part of a step.
    """

    def __init__(self, most_seconds: float = MOST_SECONDS) -> None:
        self._most_seconds = most_seconds
        self.is_taken = False
        """A pass is being made, and its answers are being sent."""

    def __enter__(self) -> None:
        self.is_taken = True

    def __exit__(self, *_: object) -> None:
        self.is_taken = False

    def stand_back(self) -> None:
        """Leave the interpreter to others; go on when no pass is being made, or after `most_seconds` all the same.

        A replica that is never idle gets its new models, too.
        """
        deadline = time.monotonic() + self._most_seconds
        time.sleep(BREATH_SECONDS)
        while self.is_taken and time.monotonic() < deadline:
            time.sleep(BREATH_SECONDS)
