"""A fetch of weights is bounded in size and time, follows nobody elsewhere, and leaves nothing behind."""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.connection import Connection
from penstock.adapters.mlflow.downloads import Downloads
from penstock.adapters.mlflow.fetcher import ArtifactFetcher
from penstock.adapters.mlflow.scratch import PREFIX, remove_abandoned, scratch_folder
from penstock.errors import RefusedUpdateError, UnavailableError
from waiting import wait_for

SIZE = 3_000_000
CONTENT = bytes(range(250)) * (SIZE // 250)


class Handler(BaseHTTPRequestHandler):
    """A store that behaves in the way the path asks for."""

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        if name == "moved":
            self.send_response(302)
            self.send_header("Location", self.path.replace("moved", "whole"))
            self.end_headers()
            return
        if name == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        try:
            if name == "whole":
                self.wfile.write(CONTENT)
            if name == "half":
                self.wfile.write(CONTENT[: SIZE // 2])
            while name == "trickle":
                self.wfile.write(b"x")
                time.sleep(0.02)  # a sender's pace
        except OSError:
            return  # the replica has had enough

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Quiet."""


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def store() -> Iterator[str]:
    """The address under which the handler answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/weights"
    server.shutdown()
    thread.join()
    server.server_close()


def fetcher_of(store: str, *, timeout_seconds: float = 60.0) -> ArtifactFetcher:
    config = MlflowConfig(tracking_uri=store.removesuffix("/weights"), timeout_seconds=60)
    return ArtifactFetcher(config, [store], timeout_seconds=timeout_seconds)


def test_over_http_all_of_it_comes_into_a_file_without_a_name(store: str, scratch: Path) -> None:
    with fetcher_of(store).fetch(f"{store}/whole", SIZE) as file:
        assert file.read() == CONTENT
        assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("size_bytes", [SIZE - 1, SIZE + 1, 10])
def test_over_http_another_number_of_bytes_is_refused(store: str, scratch: Path, size_bytes: int) -> None:
    with pytest.raises(RefusedUpdateError, match=f"bytes, but {size_bytes} were announced"):
        fetcher_of(store).fetch(f"{store}/whole", size_bytes)


def test_a_redirect_is_not_followed(store: str) -> None:
    with pytest.raises(RefusedUpdateError, match=r"answers .*/moved' with a redirect; it is not followed"):
        fetcher_of(store).fetch(f"{store}/moved", SIZE)


def test_what_is_missing_may_come_yet(store: str) -> None:
    with pytest.raises(UnavailableError):
        fetcher_of(store).fetch(f"{store}/missing", SIZE)


def test_a_download_that_breaks_off_is_tried_again(store: str, scratch: Path) -> None:
    with pytest.raises(UnavailableError):
        fetcher_of(store).fetch(f"{store}/half", SIZE)
    assert list(scratch.iterdir()) == []


def test_a_store_that_trickles_is_given_up_in_time(store: str) -> None:
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"were not there within 0\.3 s"):
        fetcher_of(store, timeout_seconds=0.3).fetch(f"{store}/trickle", SIZE)
    assert time.monotonic() - began < 30


def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    fetcher = ArtifactFetcher(MlflowConfig(tracking_uri=f"sqlite:///{tmp_path}/x.db"), [tmp_path.as_uri()])
    with pytest.raises(RefusedUpdateError, match="names no regular file"):
        fetcher.fetch((tmp_path / "pipe").as_uri(), 1)


class SlowRepository:
    """`Artifacts` of a store that only its own client reads: half of the file, then the other half when allowed."""

    artifact_uri = "s3://bucket"

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        raise AssertionError("it is only read from")

    def list_artifacts(self, path: str | None = None) -> list[object]:
        raise AssertionError("it is only read from")

    def delete_artifacts(self, artifact_path: str) -> None:
        raise AssertionError("it is only read from")

    def download_artifacts(self, artifact_path: str, dst_path: str) -> str:
        path = Path(dst_path, artifact_path)
        path.write_bytes(CONTENT[: SIZE // 2])
        if not self.go_on.wait(60):
            raise TimeoutError
        with path.open("ab") as file:
            file.write(CONTENT[SIZE // 2 :])
        return str(path)


def test_other_stores_are_given_up_in_time_and_asked_again_when_they_have_ended(scratch: Path) -> None:
    repository, downloads = SlowRepository(), Downloads()
    uri = "s3://bucket/w"
    with pytest.raises(UnavailableError, match="were not there in time"):
        downloads.download(repository, uri, SIZE, time.monotonic() + 0.1)  # type: ignore[arg-type]  # lists nothing
    with pytest.raises(UnavailableError, match="must wait: the download before has not ended yet"):
        downloads.download(repository, uri, SIZE, time.monotonic() + 0.1)  # type: ignore[arg-type]
    repository.go_on.set()
    wait_for(lambda: not list(scratch.iterdir()), "the download given up has removed its folder", every_seconds=0.01)
    wait_for(
        lambda: not any(thread.name == "download" for thread in threading.enumerate()),
        "it has ended",
        every_seconds=0.01,
    )
    with downloads.download(repository, uri, SIZE, time.monotonic() + 60) as file:  # type: ignore[arg-type]
        assert file.read() == CONTENT
    assert list(scratch.iterdir()) == []


def test_other_stores_are_stopped_at_the_announced_size(scratch: Path) -> None:
    repository = SlowRepository()
    with pytest.raises(RefusedUpdateError, match="more than 1000 bytes"):
        Downloads().download(repository, "s3://b/w", 1000, time.monotonic() + 60)  # type: ignore[arg-type]
    repository.go_on.set()
    with pytest.raises(RefusedUpdateError, match=f"{SIZE} bytes, but {SIZE + 1} were"):
        Downloads().download(repository, "s3://b/w", SIZE + 1, time.monotonic() + 60)  # type: ignore[arg-type]
    wait_for(lambda: not list(scratch.iterdir()), "both folders are removed", every_seconds=0.01)


def test_what_a_store_of_another_kind_raises_is_raised(scratch: Path) -> None:
    repository = SlowRepository()
    repository.go_on.set()
    with pytest.raises(IsADirectoryError):
        Downloads().download(repository, "s3://b/w/", 10, time.monotonic() + 60)  # type: ignore[arg-type]


def test_folders_of_killed_processes_are_removed_and_those_in_use_stay(scratch: Path) -> None:
    abandoned, other = scratch / f"{PREFIX}dead", scratch / "not-ours"
    for folder in (abandoned, other):
        folder.mkdir()
        (folder / "half").write_bytes(b"half")
    with scratch_folder() as used:
        (used / "file").write_bytes(b"whole")
        assert remove_abandoned() == 1
        assert (used / "file").exists()
    assert [path.name for path in scratch.iterdir()] == ["not-ours"]


def test_a_connection_names_the_root_of_a_store() -> None:
    """What the fetcher reads of MLflow's repositories is there in the release that is installed."""
    connection = Connection(MlflowConfig(tracking_uri="http://127.0.0.1:9"))
    repository = connection.repository("mlflow-artifacts:/weights/m")
    assert repository.artifact_uri == "http://127.0.0.1:9/api/2.0/mlflow-artifacts/artifacts/weights/m"
