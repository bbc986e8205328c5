"""A caller of one replica: Open Inference Protocol over one kept-alive connection."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from penstock.errors import UnavailableError


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a replica said: `labels` one an image, and the version of the weights that answered."""

    labels: list[str]
    version: int
    trained_until: str


class ReplicaClient:
    """One connection, one thread."""

    def __init__(self, url: str, model: str, timeout_seconds: float = 2.0) -> None:
        self._address = urlsplit(url).netloc
        self._path = f"/v2/models/{model}/infer"
        self._timeout_seconds = timeout_seconds
        self._connection = http.client.HTTPConnection(self._address, timeout=timeout_seconds)

    def ask(self, pixels: npt.NDArray[np.float32]) -> Answer | None:
        """Labels for [n, 64] pixels; None while the replica is not ready.

        Raises:
            UnavailableError: it does not answer, or answers an error.
        """
        body = json.dumps(request_body(pixels))
        try:
            self._connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            document: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            raise UnavailableError(f"the replica at {self._address} does not answer: {error}") from error
        if response.status == 503:
            return None
        if response.status != 200:
            raise UnavailableError(f"the replica at {self._address} answers {response.status}: {document}")
        outputs = {output["name"]: output["data"] for output in document["outputs"]}
        return Answer(
            labels=outputs["label"],
            version=int(document["model_version"]),
            trained_until=document["parameters"]["trained_until"],
        )

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()


def request_body(pixels: npt.NDArray[np.float32]) -> dict[str, Any]:
    """An inference request for [n, 64] pixels."""
    return {
        "inputs": [{"name": "pixels", "shape": list(pixels.shape), "datatype": "FP32", "data": pixels.ravel().tolist()}]
    }
