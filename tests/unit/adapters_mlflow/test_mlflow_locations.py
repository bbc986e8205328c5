"""Which weights a replica may read, and the names that MLflow is given."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.adapters.mlflow.artifacts import ArtifactStore
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.fetcher import ArtifactFetcher
from penstock.adapters.mlflow.metrics import MAX_RECALLS, loggable, metric_name
from penstock.errors import ConfigurationError, RefusedUpdateError, UnavailableError
from penstock.serving.config import ServingConfig
from sample_checkpoints import weights_of

SERVER = MlflowConfig(tracking_uri="http://127.0.0.1:9", timeout_seconds=1)


def embedded(folder: Path) -> MlflowConfig:
    return MlflowConfig(tracking_uri=f"sqlite:///{folder}/mlflow.db")


def fetched(fetcher: ArtifactFetcher, uri: str, size_bytes: int) -> bytes:
    with fetcher.fetch(uri, size_bytes) as file:
        return file.read()


def test_large_weights_travel_through_the_folder_of_the_embedded_default(tmp_path: Path) -> None:
    weights = weights_of(1, size=200_000)
    uri = ArtifactStore(embedded(tmp_path), "digits").put(weights)
    assert uri.startswith(f"file://{tmp_path}/mlflow-artifacts/weights/digits/")
    assert fetched(ArtifactFetcher(embedded(tmp_path)), uri, weights.size_bytes) == weights.content


def test_the_embedded_default_moves_weights_without_importing_mlflow(tmp_path: Path) -> None:
    program = (
        "import sys; from penstock.adapters.mlflow.artifacts import *;"
        "from penstock.adapters.mlflow.fetcher import ArtifactFetcher;"
        "from penstock.adapters.mlflow.check import check; from penstock.adapters.mlflow.record import MlflowRecord;"
        f"config = MlflowConfig(tracking_uri='sqlite:///{tmp_path}/mlflow.db');"
        "weights = Weights(b'abc', class_ledger_digest='');"
        "uri = ArtifactStore(config, 'digits').put(weights);"
        "assert ArtifactFetcher(config).fetch(uri, 3).read() == b'abc'; assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_putting_the_newest_weights_again_uploads_nothing_and_old_uploads_go(tmp_path: Path) -> None:
    store = ArtifactStore(embedded(tmp_path), "digits", kept=3)
    uris = [store.put(weights_of(step)) for step in range(1, 6)]
    assert store.put(weights_of(5)) == uris[-1]
    assert ArtifactStore(embedded(tmp_path), "digits", kept=3).put(weights_of(5)) == uris[-1]
    left = sorted((tmp_path / "mlflow-artifacts" / "weights" / "digits").iterdir())
    assert [path.as_uri() for path in left] == uris[-3:]


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "file://{root}/../outside.bin",
        "file://{root}/%2e%2e/outside.bin",
        "file://{root}/%252e%252e/outside.bin",
        "file://{root}/./inside.bin",
        "file://{root}-beside/inside.bin",
        "file://{root}",
        "file://another-host{root}/inside.bin",
        "file://{root}/inside.bin?x=1",
        "file://{root}/inside.bin#x",
        "file://{root}/in%00side.bin",
        "file://{root}/link.bin",
        "file://{root}/linked/inside.bin",
        "{root}/inside.bin",
        "file:inside.bin",
        "http://127.0.0.1:9/inside.bin",
        "mlflow-artifacts:/1/weights/inside.bin",
        "s3://bucket/inside.bin",
        "runs:/abc/inside.bin",
        "",
    ],
)
def test_weights_outside_the_embedded_default_are_refused(tmp_path: Path, uri: str) -> None:
    root, outside = tmp_path / "mlflow-artifacts", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    for file in (root / "inside.bin", tmp_path / "outside.bin", outside / "inside.bin"):
        file.write_bytes(b"secret")
    (root / "link.bin").symlink_to(tmp_path / "outside.bin")
    (root / "linked").symlink_to(outside)
    with pytest.raises(RefusedUpdateError) as refusal:
        ArtifactFetcher(embedded(tmp_path)).fetch(uri.format(root=root), 6)
    assert refusal.value.reason == "uri"


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "mlflow-artifacts://another-host/1/weights/inside.bin",
        "mlflow-artifacts:/1/../2/inside.bin",
        "mlflow-artifacts:/1/%2e%2e/2/inside.bin",
        "mlflow-artifacts:/1/..%5c2/inside.bin",
        "http://127.0.0.1:9/api/2.0/mlflow-artifacts/artifacts/1/inside.bin",
    ],
)
def test_weights_outside_the_servers_store_are_refused_without_asking_it(uri: str) -> None:
    with pytest.raises(RefusedUpdateError, match=r"refused|outside what serving\.allowed_weights_prefixes allows"):
        ArtifactFetcher(SERVER).fetch(uri, 6)


def test_allowed_prefixes_replace_the_default(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed folder"
    allowed.mkdir()
    (allowed / "weights.bin").write_bytes(b"whole")
    fetcher = ArtifactFetcher(embedded(tmp_path), [allowed.as_uri()])
    assert fetched(fetcher, (allowed / "weights.bin").as_uri(), 5) == b"whole"
    with pytest.raises(RefusedUpdateError):
        fetcher.fetch((tmp_path / "mlflow-artifacts" / "weights.bin").as_uri(), 5)


@pytest.mark.parametrize("prefix", ["/a/folder", "weights", "file:///a/../b"])
def test_a_prefix_that_is_no_uri_is_refused_by_name(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"serving\.allowed_weights_prefixes holds '{re.escape(prefix)}': it"):
        ServingConfig(allowed_weights_prefixes=(prefix,))


def test_links_that_go_in_a_circle_are_said_to(tmp_path: Path) -> None:
    root = tmp_path / "mlflow-artifacts"
    root.mkdir()
    (root / "one").symlink_to(root / "other")
    (root / "other").symlink_to(root / "one")
    with pytest.raises(UnavailableError, match=r"one cannot be read: (the links go in a circle|Too many levels)"):
        ArtifactFetcher(embedded(tmp_path)).fetch(f"{root.as_uri()}/one", 10)


def test_more_bytes_than_announced_are_refused(tmp_path: Path) -> None:
    uri = ArtifactStore(embedded(tmp_path), "digits").put(weights_of(1))
    with pytest.raises(RefusedUpdateError, match="more than 10 bytes, but 10 were announced"):
        ArtifactFetcher(embedded(tmp_path)).fetch(uri, 10)


def test_weights_that_are_gone_may_come_back(tmp_path: Path) -> None:
    (tmp_path / "mlflow-artifacts").mkdir()
    with pytest.raises(UnavailableError, match="No such file"):
        ArtifactFetcher(embedded(tmp_path)).fetch(f"file://{tmp_path}/mlflow-artifacts/gone.bin", 10)


def test_with_mlflow_switched_off_there_is_nowhere_to_put_large_weights() -> None:
    with pytest.raises(ConfigurationError, match=r"publish\.inline_max_bytes.*mlflow\.enabled"):
        ArtifactStore(MlflowConfig(enabled=False), "digits").put(weights_of(1))


def test_addresses_are_shown_without_user_and_password() -> None:
    assert MlflowConfig(tracking_uri="https://u:p@host:5000/x").shown_uri == "https://host:5000/x"
    assert MlflowConfig(tracking_uri="sqlite:////data/mlflow.db").shown_uri == "sqlite:////data/mlflow.db"


def test_metric_names_keep_what_mlflow_accepts_and_tell_the_rest_apart() -> None:
    assert metric_name("prequential_accuracy") == "prequential_accuracy"
    assert metric_name("recall/spam-1.b") == "recall/spam-1.b"
    odd = [metric_name(f"recall/{name}") for name in ("a/b", "a?b", "..", "", "日", "月", "x" * 250, "x" * 251)]
    assert len(set(odd)) == len(odd)
    assert all(len(name) <= 250 and name.isascii() and name.count("/") == 1 for name in odd)


def test_only_so_many_recalls_are_logged() -> None:
    logged = loggable({"loss": 1.0} | {f"recall/{number}": 0.5 for number in range(MAX_RECALLS + 50)})
    assert len(logged) == MAX_RECALLS + 1
    assert f"recall/{MAX_RECALLS - 1}" in logged
