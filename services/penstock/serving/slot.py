"""The one place a replica serves from: a single reference, replaced whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from penstock.clock import to_rfc3339
from penstock.flow import ModelUpdate, Recorded
from penstock.learning.predictor import Predictor
from penstock.learning.rows import Columns
from penstock.serving.refusals import NotReadyError


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A verified, warmed predictor and what its update said of it.

    `version_text` and `trained_until` are as callers read them.
    """

    model: str
    version: int
    epoch: int
    sha256: str
    trained_until_ms: int
    mlflow_run_id: str | None
    predictor: Predictor = field(repr=False)
    version_text: str
    trained_until: str
    mlflow_version: str | None = None
    """The number it has in MLflow's registry, where that is known."""

    @classmethod
    def of(cls, update: ModelUpdate, predictor: Predictor, *, mlflow_version: str | None = None) -> "ServedModel":
        """The update's facts without its bytes, which nobody needs once the predictor is built."""
        return cls(
            model=update.model,
            version=update.version,
            epoch=update.epoch,
            sha256=update.sha256,
            trained_until_ms=update.trained_until_ms,
            mlflow_run_id=update.mlflow_run_id,
            predictor=predictor,
            version_text=str(update.version),
            trained_until=to_rfc3339(update.trained_until_ms),
            mlflow_version=mlflow_version,
        )

    def recorded_as(self, recorded: Recorded) -> "ServedModel":
        """The same with its number in MLflow's registry, if these are the weights that were recorded."""
        is_it = (recorded.epoch, recorded.version, recorded.sha256) == (*self.place, self.sha256)
        return replace(self, mlflow_version=recorded.mlflow_version) if is_it else self

    @property
    def class_names(self) -> tuple[str, ...]:
        """By column of `probabilities`."""
        return self.predictor.class_names

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and version: what orders updates."""
        return self.epoch, self.version

    def identity(self) -> dict[str, str]:
        """Which weights: what every answer says of the version that computed it."""
        identity = {"trained_until": self.trained_until, "sha256": self.sha256}
        if self.mlflow_version is not None:
            identity["mlflow_version"] = self.mlflow_version
        return identity

    def probabilities(self, columns: Columns) -> npt.NDArray[np.float32]:
        """[n, classes] for columns of n rows, each row summing to 1. One thread at a time."""
        return self.predictor.probabilities(self.predictor.encode(columns))


class Slot:
    """Written by the updater, read by requests without a lock: references are replaced in one step.

    Whoever answers asks once and goes on with what it got. The last versions that were served stay answerable.

    Args:
        resident_versions: how many, the newest included; at least 1.
    """

    def __init__(self, *, resident_versions: int = 1) -> None:
        self._current: ServedModel | None = None
        self._residents: Sequence[ServedModel] = ()
        self._resident_versions = resident_versions
        self.withdrawn = False
        """True while the newest word on the update topic is that the model is withdrawn; it is served all the same."""

    @property
    def current(self) -> ServedModel | None:
        """The newest, once there is one."""
        return self._current

    @current.setter
    def current(self, served: ServedModel) -> None:
        self._residents = (*self._residents, served)[-self._resident_versions :]
        self._current = served

    @property
    def residents(self) -> Sequence[ServedModel]:
        """Those that answer, the newest last."""
        return self._residents

    def note_recorded(self, recorded: Recorded) -> None:
        """Answers of this version name its number in MLflow's registry from now on."""
        self._residents = tuple(served.recorded_as(recorded) for served in self._residents)
        if self._current is not None:
            self._current = self._residents[-1]

    def newest(self) -> ServedModel:
        """What answers a request that names no version.

        Raises:
            NotReadyError: no model has arrived yet.
        """
        if self._current is None:
            raise NotReadyError("No model has arrived yet; try again later.")
        return self._current
