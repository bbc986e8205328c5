"""The limit on invalid events: past it the stream itself is taken for poisoned."""

import numpy as np
import numpy.typing as npt

from penstock.errors import PoisonedStreamError
from penstock.intake.config import IntakeConfig

Mask = npt.NDArray[np.bool_]


class Quarantine:
    """Follows the newest events, batch by batch."""

    def __init__(self, config: IntakeConfig) -> None:
        self._config = config
        self._window: Mask = np.empty(0, dtype=np.bool_)
        self._run = 0
        self._num_noted = 0

    @property
    def is_clean(self) -> bool:
        """True if no event of the window was refused."""
        return bool(self._window.all())

    def note(self, accepted: Mask, last_sentence: str) -> None:
        """Count the events of one batch, `accepted` bool [n] in order; `last_sentence` is of the last one refused.

        Raises:
            PoisonedStreamError: there are too many invalid events in a row, or in the full window.
        """
        longest_run = self._longest_run(accepted)
        self._num_noted += len(accepted)
        self._window = np.concatenate([self._window, accepted])[-self._config.invalid_window :]
        if longest_run >= self._config.max_invalid_run:
            raise _poisoned(
                f"{longest_run} events in a row were invalid; intake.max_invalid_run is {self._config.max_invalid_run}",
                last_sentence,
            )
        self._check_share(last_sentence)

    def refused_later(self, first: int, num_events: int, num_refused: int, last_sentence: str) -> None:
        """Of a batch noted before, whose first event was number `first` of all, some were refused after all.

        Which of its events they were does not matter to a share. A run of them is told from their filling batches.

        Raises:
            PoisonedStreamError: as `note`.
        """
        start = max(first - (self._num_noted - len(self._window)), 0)
        stop = max(first + num_events - (self._num_noted - len(self._window)), 0)
        still_accepted = start + np.flatnonzero(self._window[start:stop])
        self._window[still_accepted[:num_refused]] = False
        run = _longest(self._window)
        if run >= self._config.max_invalid_run:
            raise _poisoned(
                f"{run} events in a row were invalid; intake.max_invalid_run is {self._config.max_invalid_run}",
                last_sentence,
            )
        self._check_share(last_sentence)

    def _check_share(self, last_sentence: str) -> None:
        size = len(self._window)
        num_invalid = size - int(np.count_nonzero(self._window))
        if size == self._config.invalid_window and num_invalid > self._config.max_invalid_ratio * size:
            raise _poisoned(
                f"{num_invalid} of the last {size} events were invalid; "
                f"intake.max_invalid_ratio is {self._config.max_invalid_ratio}",
                last_sentence,
            )

    def _longest_run(self, accepted: Mask) -> int:
        """The longest run of invalid events that ends in this batch, one from before it continued."""
        if accepted.all():
            self._run = self._run if not len(accepted) else 0
            return 0
        valid_at = np.flatnonzero(accepted)
        if not len(valid_at):
            self._run += len(accepted)
            return self._run
        first = self._run + int(valid_at[0])
        self._run = len(accepted) - 1 - int(valid_at[-1])
        return max(first, self._run, int(np.diff(valid_at).max(initial=1)) - 1)


def _longest(accepted: Mask) -> int:
    """The longest run of False."""
    edges = np.flatnonzero(np.concatenate(([True], accepted, [True])))
    return int(np.diff(edges).max()) - 1


def _poisoned(counts: str, last_sentence: str) -> PoisonedStreamError:
    return PoisonedStreamError(
        f"Too many invalid events: {counts}. The last one: {last_sentence} "
        "Look at the dead-letter topic, correct the producer or [[model.features]], and start again."
    )
