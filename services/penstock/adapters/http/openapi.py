"""The OpenAPI document of a replica: its routes, and what goes in and comes out, for the model that it serves."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from penstock.adapters.http.answers import JSON
from penstock.adapters.http.bodies import HEADER_LENGTH
from penstock.adapters.http.openapi_schemas import SCHEMAS
from penstock.serving.requests import TensorMetadata

Document = dict[str, Any]

REASONS: Final[Mapping[int, str]] = {
    400: "The body does not fit; the sentence names the input, what was given and what is expected.",
    404: "No such model or version.",
    408: "The body did not arrive in time.",
    413: "The body is too long, packed or unpacked.",
    415: "The body is packed in an unknown way.",
    500: "The replica failed; the reason is in its log.",
    503: "No model yet, shutting down, or too many requests wait (then with Retry-After).",
    504: "The request waited longer than it may.",
}
_BODY: Final = (400, 408, 413, 415)
_FINDING: Final = (404, 503, 504)
_DATATYPE_EXAMPLES: Final[Mapping[str, object]] = {"FP32": 0.5, "BYTES": "text"}


def openapi_document(model: str, inputs: Sequence[TensorMetadata], version: str) -> Document:
    """OpenAPI 3.1, as plain values; `version` is that of the server."""
    model_path = "/v2/models/{model}"
    version_path = model_path + "/versions/{version}"
    paths: dict[str, Document] = {
        "/v2": {"get": _get("What the server is.", "ServerMetadata")},
        "/v2/health/live": {"get": _get("Whether the process answers.", "Live")},
        "/v2/health/ready": {"get": _get("Whether there is a model to answer with.", "Ready", 503)},
        "/v2/repository/index": {"post": _index()},
        "/openapi.json": {"get": _get("This document.", "Document")},
        "/metrics": {"get": {"summary": "For Prometheus.", "responses": {"200": _content("text/plain", {})}}},
    }
    for path in (model_path, version_path):
        shared = [_parameter("model", {"enum": [model]})]
        if path == version_path:
            shared.append(_parameter("version", {"type": "string", "pattern": "^[1-9][0-9]*$"}))
        paths |= {
            path: {"parameters": shared, "get": _get("What is served.", "ModelMetadata", *_FINDING)},
            f"{path}/ready": {"parameters": shared, "get": _get("Whether it answers.", "ModelReady", *_FINDING)},
            f"{path}/infer": {"parameters": shared, "post": _infer(_example(inputs))},
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Penstock: {model}",
            "version": version,
            "description": "The Open Inference Protocol v2, over a model that goes on learning.",
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _infer(example: Document) -> Document:
    answer = _content(JSON, {"$ref": "#/components/schemas/InferResponse"})
    answer["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    answer["headers"] = {
        HEADER_LENGTH: {"description": "How much of a binary answer is JSON.", "schema": {"type": "integer"}}
    }
    return {
        "summary": "Inference.",
        "description": "The body may be packed by gzip or deflate (Content-Encoding). Binary tensors follow the JSON.",
        "parameters": [
            {
                "name": HEADER_LENGTH,
                "in": "header",
                "description": "How much of the body is JSON, where binary tensors follow it.",
                "schema": {"type": "integer", "minimum": 0},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"$ref": "#/components/schemas/InferRequest"}, "examples": {"row": {"value": example}}}
            },
        },
        "responses": {"200": answer, **_errors(500, *_BODY, *_FINDING)},
    }


def _index() -> Document:
    return {
        "summary": "The versions that answer.",
        "requestBody": {"content": {JSON: {"schema": {"$ref": "#/components/schemas/IndexRequest"}}}},
        "responses": {"200": _content(JSON, {"$ref": "#/components/schemas/Index"}), **_errors(*_BODY)},
    }


def _get(summary: str, schema: str, *errors: int) -> Document:
    answer = _content(JSON, {"$ref": f"#/components/schemas/{schema}"})
    return {"summary": summary, "responses": {"200": answer, **_errors(*errors)}}


def _errors(*codes: int) -> Document:
    error = {"$ref": "#/components/schemas/Error"}
    return {str(code): _content(JSON, error, REASONS[code]) for code in sorted(codes)}


def _content(kind: str, schema: Document, description: str = "The answer.") -> Document:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _parameter(name: str, schema: Document) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _example(inputs: Sequence[TensorMetadata]) -> Document:
    """A body of one row that is answered."""
    rows = [tuple(max(size, 1) for size in tensor.shape) for tensor in inputs]
    return {
        "inputs": [
            {
                "name": tensor.name,
                "shape": list(shape),
                "datatype": tensor.datatype,
                "data": [_DATATYPE_EXAMPLES[tensor.datatype]] * (shape[1] if len(shape) > 1 else 1),
            }
            for tensor, shape in zip(inputs, rows, strict=True)
        ]
    }
