"""The OpenAPI document says what is true: schemathesis asks by it, and holds every answer to it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import checks

from http_replica import HttpReplica, http_replica
from served_models import MIXED, PIXELS, served

MAX_EXAMPLES = 8
POSITIVE = schemathesis.GenerationMode.POSITIVE
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(MIXED) as running:
        running.slot.current = served(2, MIXED)
        yield running


@pytest.fixture(scope="module")
def document(replica: HttpReplica) -> Any:
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{replica.port}/openapi.json")


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_as_the_document_says(document: Any, mode: Any) -> None:
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) == len(document.raw_schema["paths"]) - 1  # all but the document itself
    statuses: dict[str, set[int]] = {operation.label: set() for operation in operations}
    for operation in operations:

        @settings(
            max_examples=MAX_EXAMPLES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            if mode is POSITIVE and "version" in case.path_parameters:
                case.path_parameters["version"] = "2"
            statuses[case.operation.label].add(case.call_and_validate(checks=CHECKS).status_code)

        with contextlib.suppress(Unsatisfiable):  # there is nothing wrong to send where nothing is sent
            ask()
    if mode is POSITIVE:
        assert all(200 in found for label, found in statuses.items() if not label.endswith("/infer")), statuses


@pytest.mark.parametrize("model", [PIXELS, MIXED], ids=lambda model: model.name)
@pytest.mark.parametrize("parameters", [{}, {"top_k": 2}, {"binary_data_output": True}], ids=str)
def test_the_example_of_the_document_is_answered_as_it_says(model: Any, parameters: dict[str, object]) -> None:
    with http_replica(model) as running:
        running.slot.current = served(2, model)
        document = schemathesis.openapi.from_url(f"http://127.0.0.1:{running.port}/openapi.json")
        for path in ("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"):
            body = document.raw_schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
            example = body["examples"]["row"]["value"] | {"id": "1", "parameters": parameters}
            for outputs in ({}, {"outputs": [{"name": "probabilities"}, {"name": "label"}]}):
                case = document[path]["POST"].Case(
                    path_parameters={"model": model.name, "version": "2"}, body=example | outputs
                )
                assert case.call_and_validate(checks=CHECKS[:-2]).status_code == 200
