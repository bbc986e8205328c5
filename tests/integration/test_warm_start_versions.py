"""Weights to begin with, from MLflow on SQLite and behind a real server, and from files; and a trainer that does."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from mlflow import MlflowClient

from configurations import configuration, events, new_model
from line import line
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.versions import read_version
from penstock.errors import ConfigurationError, UnavailableError
from waiting import wait_for

# MLflow's own tables use a loader that SQLAlchemy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

CONTENT = safetensors.numpy.save({"layers.0.weight": np.ones((32, 9), dtype=np.float32)})


@pytest.fixture(params=["embedded", "server"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> MlflowConfig:
    """Where versions are registered and read."""
    if request.param == "embedded":
        return MlflowConfig(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    return MlflowConfig(tracking_uri=request.getfixturevalue("shared_mlflow").tracking_uri, timeout_seconds=60)


def registered(config: MlflowConfig, files: dict[str, bytes]) -> str:
    """A version that holds these files, by their paths below it; returns the model's name."""
    client, name = MlflowClient(config.tracking_uri, config.tracking_uri), new_model()
    run = client.create_run(client.create_experiment(name))
    for path, content in files.items():
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch, Path(path).name)
            file.write_bytes(content)
            client.log_artifact(run.info.run_id, str(file), str(Path("model", path).parent))
    client.create_registered_model(name)
    version = client.create_model_version(name, f"runs:/{run.info.run_id}/model", run.info.run_id)
    client.set_registered_model_alias(name, "best", version.version)
    return name


def test_a_version_is_read_by_number_and_by_alias_however_deep_its_file_lies(
    config: MlflowConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where MLflow on SQLite puts artifacts of experiments that are not ours
    for path in ("weights.safetensors", "data/model/weights.safetensors"):
        name = registered(config, {path: CONTENT, "model.json": b"{}"})
        assert read_version(config, f"models:/{name}/1") == CONTENT
        assert read_version(config, f"models:/{name}@best") == CONTENT


def test_what_is_not_there_is_said_with_its_address(
    config: MlflowConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    name = registered(config, {"model.pth": b"pickle"})
    for uri in (f"models:/{name}/7", f"models:/{name}@none", "models:/nobody/1"):
        with pytest.raises(ConfigurationError, match=f"is '{uri}', but MLflow at .* has no such version"):
            read_version(config, uri)
    with pytest.raises(ConfigurationError, match=r"holds no safetensors file; one is needed \(pickled"):
        read_version(config, f"models:/{name}/1")
    two = registered(config, {"a.safetensors": CONTENT, "b.safetensors": CONTENT})
    with pytest.raises(ConfigurationError, match=r"holds a\.safetensors, b\.safetensors; one is needed"):
        read_version(config, f"models:/{two}/1")


def test_a_server_that_is_away_may_be_asked_again() -> None:
    config = MlflowConfig(tracking_uri="http://127.0.0.1:9", timeout_seconds=1)
    with pytest.raises(UnavailableError, match=r"MLflow at http://127\.0\.0\.1:9 failed"):
        read_version(config, "models:/name/1")


def test_a_trainer_begins_with_the_file_and_later_with_its_own_checkpoint(
    kafka: LocalKafka, tmp_path: Path, nursery: Nursery
) -> None:
    (tmp_path / "weights.safetensors").write_bytes(CONTENT)
    model = new_model()
    plain = configuration(model, kafka.bootstrap_servers, tmp_path / "state")
    text = plain + f'[model.warm_start]\nuri = "{(tmp_path / "weights.safetensors").as_uri()}"\n'
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as running:
        assert running.run("topics", "create").returncode == 0
        trainer = running.start_trainer()
        said = wait_for(lambda: trainer.says("warm start"), "the trainer says what it began with")
        assert (said["taken"], said["not_mapped"]) == (1, "none")
        assert "backbone.layers.0.bias" in said["left_as_initialised"]
        running.wait_until_announced(running.produce(events(64)))
        assert trainer.stop() == 0
        again = running.start_trainer()
        wait_for(lambda: again.says("restored"), "the trainer goes on from its checkpoint")
        wait_for(lambda: again.says("learning on"), "it has its weights")
        assert again.says("warm start") is None
        assert again.stop() == 0


def test_weights_of_another_shape_stop_the_trainer_with_the_tensors_name(
    kafka: LocalKafka, tmp_path: Path, nursery: Nursery
) -> None:
    wrong = safetensors.numpy.save({"layers.0.weight": np.ones((32, 5), dtype=np.float32)})
    (tmp_path / "wrong.safetensors").write_bytes(wrong)
    for file, words in (("wrong.safetensors", "'layers.0.weight'"), ("none.safetensors", "is not a file")):
        model = new_model()
        plain = configuration(model, kafka.bootstrap_servers, tmp_path / model)
        text = plain + f'[model.warm_start]\nuri = "{tmp_path / file}"\n'
        (tmp_path / f"{model}-files").mkdir()
        with line(tmp_path / f"{model}-files", kafka.bootstrap_servers, model, text, nursery) as running:
            assert running.run("topics", "create").returncode == 0
            trainer = running.start_trainer()
            assert trainer.wait() == 1, trainer.text()
            assert words in trainer.last_words(), trainer.text()
            assert "Traceback" not in trainer.text()
