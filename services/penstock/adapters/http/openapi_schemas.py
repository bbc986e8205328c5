"""JSON Schemas of the bodies of the Open Inference Protocol v2, by name; `openapi` says where each belongs."""

from collections.abc import Sequence
from typing import Any, Final

from penstock.adapters.http.bodies import BINARY_DATA_SIZE
from penstock.serving.datatypes import DATATYPES
from penstock.serving.outputs import OUTPUTS

Schema = dict[str, Any]


def _object(required: Sequence[str], **properties: Schema) -> Schema:
    """What we send: these properties and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def _taken(required: Sequence[str], **properties: Schema) -> Schema:
    """What we take: others mean nothing."""
    return {"type": "object", "required": list(required), "properties": properties}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_TEXT: Final[Schema] = {"type": "string"}
_TRUE: Final[Schema] = {"const": True}
_SHAPE: Final = _list({"type": "integer"})
_DATATYPE: Final[Schema] = {"enum": list(DATATYPES)}
_PARAMETERS: Final[Schema] = {
    "type": ["object", "null"],
    "description": "Booleans, numbers and texts by name; those that mean nothing here are passed over.",
}
_WEIGHTS: Final[dict[str, Schema]] = {
    "trained_until": {"type": "string", "format": "date-time"},
    "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "mlflow_version": _TEXT,
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Error": _object(["error"], error={"type": "string", "minLength": 1}),
    "Document": {"type": "object"},
    "Live": _object(["live"], live=_TRUE),
    "Ready": _object(["ready"], ready=_TRUE),
    "ModelReady": _object(["name", "ready"], name=_TEXT, ready=_TRUE),
    "ServerMetadata": _object(["name", "version", "extensions"], name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
    "TensorMetadata": _object(["name", "datatype", "shape"], name=_TEXT, datatype=_DATATYPE, shape=_SHAPE),
    "ModelMetadata": _object(
        ["name", "versions", "platform", "inputs", "outputs", "parameters"],
        name=_TEXT,
        versions=_list(_TEXT),
        platform=_TEXT,
        inputs=_list(_ref("TensorMetadata")),
        outputs=_list(_ref("TensorMetadata")),
        parameters=_object(
            ["trained_until", "sha256", "epoch", "withdrawn", "staleness_seconds"],
            **_WEIGHTS,
            epoch={"type": "integer"},
            withdrawn={"type": "boolean"},
            staleness_seconds={"type": "number", "minimum": 0},
        ),
    ),
    "IndexRequest": _taken([], ready={"type": "boolean"}),
    "Index": _list(
        _object(
            ["name", "version", "state", "reason"],
            name=_TEXT,
            version=_TEXT,
            state={"enum": ["READY", "UNAVAILABLE"]},
            reason=_TEXT,
        )
    ),
    "InferInput": _taken(
        ["name", "shape", "datatype"],
        name=_TEXT,
        shape=_SHAPE,
        datatype=_TEXT,
        data={"type": "array", "description": f"Flat or as the shape; or else {BINARY_DATA_SIZE} in the parameters."},
        parameters=_PARAMETERS,
    ),
    "InferRequestedOutput": _taken(["name"], name={"enum": list(OUTPUTS)}, parameters=_PARAMETERS),
    "InferRequest": _taken(
        ["inputs"],
        id={"type": ["string", "null"]},
        parameters=_PARAMETERS,
        inputs=_list(_ref("InferInput")),
        outputs={"anyOf": [_list(_ref("InferRequestedOutput")), {"type": "null"}]},
    ),
    "InferOutput": _object(
        ["name", "datatype", "shape"],
        name={"enum": list(OUTPUTS)},
        datatype={"enum": ["FP32", "BYTES"]},
        shape=_SHAPE,
        data=_list({"type": ["number", "string"]}),
        parameters=_object([], labels=_list(_TEXT), **{BINARY_DATA_SIZE: {"type": "integer"}}),
    ),
    "InferResponse": _object(
        ["model_name", "model_version", "parameters", "outputs"],
        model_name=_TEXT,
        model_version=_TEXT,
        id=_TEXT,
        parameters=_object(["trained_until", "sha256"], **_WEIGHTS, prediction_id=_TEXT),
        outputs=_list(_ref("InferOutput")),
    ),
}
