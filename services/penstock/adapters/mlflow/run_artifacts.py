"""What a run of MLflow keeps as files: weights, checkpoints, packets of sleeping classes, the report."""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

from penstock.adapters.mlflow.archive import pack
from penstock.adapters.mlflow.connection import Connection
from penstock.adapters.mlflow.recovery import CHECKPOINTS_KEPT
from penstock.flow import ModelUpdate
from penstock.learning.weights import model_json
from penstock.trainer.record_ports import Announced

CHECKPOINTS = "checkpoints"
PACKETS = "packets"
REPORT = "report.html"


class RunArtifacts:
    """Uploads to the artifact root of a run; whatever MLflow raises goes through."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._packets: Mapping[str, bytes] = {}

    def upload(self, root: str, announced: Announced) -> None:
        """Weights, model card, checkpoint and the packets that are not there yet."""
        repository = self._connection.repository(root)
        with tempfile.TemporaryDirectory(prefix="penstock-record-") as scratch:
            weights, card = Path(scratch, "weights.safetensors"), Path(scratch, "model.json")
            weights.write_bytes(announced.weights.content)
            card.write_bytes(model_json(announced.weights))
            for file in (weights, card):
                repository.log_artifact(str(file), model_path(announced.update))
            archive = Path(scratch, Path(checkpoint_path(announced.update)).name)
            pack(announced.checkpoint_folder, archive)
            repository.log_artifact(str(archive), CHECKPOINTS)
            for name, packet in self._new_packets(announced).items():
                file = Path(scratch, name)
                file.write_bytes(packet)
                repository.log_artifact(str(file), PACKETS)
            self._packets = dict(announced.packets)

    def keep_report(self, root: str, page: bytes) -> None:
        """In place of the one before."""
        with tempfile.TemporaryDirectory(prefix="penstock-record-") as scratch:
            file = Path(scratch, REPORT)
            file.write_bytes(page)
            self._connection.repository(root).log_artifact(str(file))

    def prune_checkpoints(self, root: str) -> None:
        """Recovery needs the newest checkpoints only; a store that cannot delete keeps them all."""
        repository = self._connection.repository(root)
        archives = sorted(file.path for file in repository.list_artifacts(CHECKPOINTS))
        for path in archives[:-CHECKPOINTS_KEPT]:
            try:
                repository.delete_artifacts(path)
            except NotImplementedError:
                return

    def _new_packets(self, announced: Announced) -> dict[str, bytes]:
        """By a name that no other packet has: one of a class that slept before stays beside the new one."""
        return {
            f"{Path(name).stem}-{hashlib.sha256(packet).hexdigest()[:8]}.safetensors": packet
            for name, packet in announced.packets.items()
            if self._packets.get(name) != packet
        }


def model_path(update: ModelUpdate) -> str:
    """Where the weights and the model card of a version lie in its run."""
    return f"versions/{update.version}/model"


def checkpoint_path(update: ModelUpdate) -> str:
    """Where the checkpoint of a version lies in its run."""
    return f"{CHECKPOINTS}/{update.version:012d}.tar"
