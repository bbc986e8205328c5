"""How old the newest model may be, and what answers say of it once MLflow has it on record; over HTTP and gRPC."""

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from http_replica import HttpReplica, http_replica
from penstock.errors import ConfigurationError
from penstock.flow import Recorded
from penstock.serving.config import ServingConfig
from penstock.serving.slot import ServedModel
from served_models import PIXELS, served

NOT_READY = "The newest model, version 3, has learnt nothing newer than 2023-11-14T22:13:20.003Z, "


def learnt_ago(seconds: float) -> ServedModel:
    return replace(served(4), trained_until_ms=round((time.time() - seconds) * 1000))


@pytest.fixture(scope="module")
def strict() -> Iterator[HttpReplica]:
    with http_replica(PIXELS, grpc_port=0, max_staleness_seconds=3600, resident_versions=2) as running:
        yield running


def test_a_replica_with_a_model_that_is_too_old_answers_and_is_not_ready(strict: HttpReplica) -> None:
    strict.slot.current = served(3)
    for path in ("/v2/health/ready", "/v2/models/digits/ready"):
        status, answer = strict.get(path)
        assert (status, list(answer)) == (503, ["error"])
        assert answer["error"].startswith(NOT_READY)
        assert answer["error"].endswith(" s ago; serving.max_staleness_seconds is 3600.")
    assert strict.get("/v2/models/digits/versions/3/ready")[0] == 200
    assert strict.get("/v2/health/live")[0] == 200
    rows = {"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": [0.0] * 64}
    assert strict.infer({"inputs": [rows]})[0] == 200
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{strict.grpc_port}") as client:
        assert not client.is_server_ready()
        assert not client.is_model_ready("digits")
        assert client.is_server_live()


def test_a_newer_model_makes_it_ready_again(strict: HttpReplica) -> None:
    strict.slot.current = served(3)
    assert strict.get("/v2/health/ready")[0] == 503
    strict.slot.current = learnt_ago(60)
    assert strict.get("/v2/health/ready") == (200, {"ready": True})
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{strict.grpc_port}") as client:
        assert client.is_server_ready()
    parameters = strict.get("/v2/models/digits")[1]["parameters"]
    assert 60 <= parameters["staleness_seconds"] < 180
    strict.slot.current = learnt_ago(-60)
    assert strict.get("/v2/models/digits")[1]["parameters"]["staleness_seconds"] == 0


def test_without_a_limit_any_age_is_ready() -> None:
    with http_replica(PIXELS) as replica:
        replica.slot.current = served(3)
        assert replica.get("/v2/health/ready")[0] == 200


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_limit_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match=r"serving\.max_staleness_seconds is .*; it must be 0 or more"):
        ServingConfig(max_staleness_seconds=seconds)


def test_answers_name_the_version_in_mlflow_once_it_is_recorded(strict: HttpReplica) -> None:
    model = served(3)
    strict.slot.current = model
    http = tritonclient.http.InferenceServerClient(f"127.0.0.1:{strict.port}")
    grpc = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{strict.grpc_port}")
    with http, grpc:
        over_http = tritonclient.http.InferInput("pixels", [1, 64], "FP32")
        over_grpc = tritonclient.grpc.InferInput("pixels", [1, 64], "FP32")
        for rows in (over_http, over_grpc):
            rows.set_data_from_numpy(np.zeros((1, 64), dtype=np.float32))
        assert "mlflow_version" not in http.infer("digits", [over_http]).get_response()["parameters"]
        assert "mlflow_version" not in grpc.infer("digits", [over_grpc]).get_response().parameters
        strict.slot.note_recorded(
            Recorded(model="digits", version=3, epoch=1, sha256=model.sha256, mlflow_version="17")
        )
        for version in ("", "3"):
            answer = http.infer("digits", [over_http], model_version=version).get_response()
            assert answer["parameters"]["mlflow_version"] == "17"
            message = grpc.infer("digits", [over_grpc], model_version=version).get_response()
            assert message.parameters["mlflow_version"].string_param == "17"
        assert http.get_model_metadata("digits")["parameters"]["mlflow_version"] == "17"
