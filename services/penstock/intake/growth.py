"""Partitions added while a rotation is under way join it where every run that is taken up again has them join.

Which batch follows depends on the number of partitions. So nothing more is handed out once some were added, until a
checkpoint that holds all that was handed out is on disk: whoever resumes begins there or later, with all of them.
"""

import structlog

from penstock.errors import UnavailableError
from penstock.flow import Offsets
from penstock.intake.ports import MessageSource
from penstock.intake.rotation import RotationBatcher

log = structlog.get_logger(__name__)


class Growth:
    """Used by the intake's thread; `offsets` are those that reading begins with."""

    def __init__(self, source: MessageSource, batcher: RotationBatcher, offsets: Offsets) -> None:
        self._source = source
        self._batcher = batcher
        self._handed_out = offsets
        self._saved = offsets

    def handed_out(self, offsets: Offsets) -> None:
        """A micro-batch went out; its next offsets."""
        self._handed_out = self._handed_out.advanced_to(offsets)

    def saved(self, offsets: Offsets) -> None:
        """A checkpoint with these offsets is on disk."""
        self._saved = offsets

    def must_wait(self) -> bool:
        """Let added partitions join if that is possible now; True while they wait, and all others with them."""
        added = self._source.added_partitions()
        if not added:
            return False
        if self._saved != self._handed_out:
            return True
        try:
            self._source.read_too(added)
        except UnavailableError as error:
            log.debug("partitions not added yet", reason=str(error))
            return True
        finally:
            self._batcher.join(set(self._source.partitions()))
        return False
