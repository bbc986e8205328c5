"""Weights come from allow-listed places alone: nothing that a place does may lead a replica to another."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.fetcher import ArtifactFetcher
from penstock.errors import RefusedUpdateError
from served_models import update_of

CONTENT = bytes(update_of(1).inline or b"")


@contextmanager
def server(location: str | None) -> Iterator[tuple[str, list[str]]]:
    """An artifact store's HTTP side: lists a file, and sends it, or whoever asks for it to `location`; and its log."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path.split("?")[0].endswith("/artifacts"):
                listed = b'{"path": "w.safetensors", "is_dir": false, "file_size": %d}' % len(CONTENT)
                self._send(200, b'{"files": [%b]}' % listed)
            elif location is None:
                self._send(200, CONTENT)
            else:
                self.send_response(302)
                self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            """Quiet."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}", asked
    finally:
        running.shutdown()
        running.server_close()


def fetcher_of(address: str) -> ArtifactFetcher:
    return ArtifactFetcher(MlflowConfig(tracking_uri=address, timeout_seconds=60))


def fetched(fetcher: ArtifactFetcher, uri: str) -> bytes:
    with fetcher.fetch(uri, len(CONTENT)) as file:
        return file.read()


def test_a_redirect_out_of_the_store_is_not_followed() -> None:
    with (
        server(None) as (elsewhere, asked_elsewhere),
        server(f"{elsewhere}/artifacts/w.safetensors") as (address, asked),
    ):
        with pytest.raises(RefusedUpdateError, match="with a redirect; it is not followed"):
            fetched(fetcher_of(address), "mlflow-artifacts:/weights/m/w.safetensors")
        assert any(path.endswith("w.safetensors") for path in asked), "the store itself was asked"
        assert asked_elsewhere == []
    with server(None) as (address, _):
        assert fetched(fetcher_of(address), "mlflow-artifacts:/weights/m/w.safetensors") == CONTENT


def test_a_link_in_the_store_that_leads_out_of_it_is_refused(tmp_path: Path) -> None:
    config = MlflowConfig(tracking_uri=f"sqlite:///{tmp_path / 'state' / 'mlflow.db'}")
    store = tmp_path / "state" / "mlflow-artifacts"
    (store / "weights").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(CONTENT)
    (store / "weights" / "link").symlink_to(tmp_path / "secret")
    (store / "folder").symlink_to(tmp_path)
    (store / "weights" / "good").write_bytes(CONTENT)
    fetcher = ArtifactFetcher(config)
    for inside in ("weights/link", "folder/secret"):
        with pytest.raises(RefusedUpdateError, match=r"is outside what serving\.allowed_weights_prefixes allows"):
            fetched(fetcher, f"{store.as_uri()}/{inside}")
    assert fetched(fetcher, f"{store.as_uri()}/weights/good") == CONTENT


@pytest.mark.parametrize(
    "tail",
    ["/../secret", "/weights/../../secret", "/%2e%2e/secret", "/%252e%252e/secret", "/..%2fsecret", "/a\\..\\secret"],
)
def test_no_spelling_of_a_step_upwards_leads_out(tmp_path: Path, tail: str) -> None:
    config = MlflowConfig(tracking_uri=f"sqlite:///{tmp_path / 'state' / 'mlflow.db'}")
    (tmp_path / "state" / "mlflow-artifacts").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(CONTENT)
    with pytest.raises(RefusedUpdateError) as refused:
        fetched(ArtifactFetcher(config), (tmp_path / "state" / "mlflow-artifacts").as_uri() + tail)
    assert refused.value.reason == "uri"


@pytest.mark.parametrize(
    "uri", ["http://elsewhere/w", "s3://bucket/w", "ftp://h/w", "file:///etc/hosts", "data:,x", "w"]
)
def test_other_schemes_and_hosts_are_refused_without_being_asked(uri: str) -> None:
    with server(None) as (address, asked):
        with pytest.raises(RefusedUpdateError):
            fetched(fetcher_of(address), uri)
        assert asked == []
