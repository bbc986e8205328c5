"""Weights that do not travel inline, for a replica that does not pay for MLflow before it needs it."""

from typing import BinaryIO

from penstock.serving.ports import WeightsFetcher
from penstock.settings import Settings


class LazyFetcher:
    """Imports MLflow, which takes a second and memory, only when an update's weights do not travel inline."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fetcher: WeightsFetcher | None = None

    def fetch(self, uri: str, size_bytes: int) -> BinaryIO:
        """As `serving.ports.WeightsFetcher.fetch`."""
        if self._fetcher is None:
            from penstock.adapters.mlflow.fetcher import ArtifactFetcher

            serving = self._settings.serving
            self._fetcher = ArtifactFetcher(
                self._settings.mlflow,
                serving.allowed_weights_prefixes,
                timeout_seconds=serving.fetch_timeout_seconds,
            )
        return self._fetcher.fetch(uri, size_bytes)
