"""The schemas of `schemas/` as validators."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[1] / "schemas"


def schema(name: str) -> dict[str, Any]:
    """The schema file `<name>.schema.json`."""
    content: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    return content


def validator(name: str) -> Any:
    """A validator of that schema, itself checked against the metaschema."""
    Draft202012Validator.check_schema(schema(name))
    return Draft202012Validator(schema(name))
