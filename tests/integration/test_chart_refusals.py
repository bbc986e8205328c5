"""What the Helm chart refuses, and in which words."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from chart_values import OWNED_BY_CHART, SECRETS, Values
from penstock.adapters.kafka.config import OWNED_KEYS
from rendered_chart import CHART, RefusedValuesError, render

REFUSED: dict[str, tuple[Values, str]] = {
    "two trainers": ({"trainer": {"replicas": 2}}, "trainer.replicas is 2; a model has one writer"),
    "nothing": (
        {"trainer": {"enabled": False}, "replica": {"enabled": False}},
        "trainer.enabled and replica.enabled are both false; there is nothing to install.",
    ),
    "autoscaling bounds": (
        {"replica": {"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 4}}},
        "replica.autoscaling.minReplicas is 5 and maxReplicas is 4; the minimum must not be above the maximum.",
    ),
    "autoscaling without a request": (
        {"replica": {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}}},
        "replica.resources.requests.cpu is not set",
    ),
    "cuda without a GPU": ({"config": {"training": {"device": "cuda"}}}, "trainer.gpu.count is 0; ask for a GPU"),
    "a GPU for nothing": (
        {"config": {"training": {"device": "cpu"}}, "trainer": {"gpu": {"count": 1}}},
        "the GPU would stand idle",
    ),
    "a database outside the volume": (
        {"config": {"mlflow": {"tracking_uri": "sqlite:////data/mlflow.db"}}},
        'config.mlflow.tracking_uri is "sqlite:////data/mlflow.db"; only the trainer\'s volume can be written',
    ),
    "a password in an address": (
        {"config": {"mlflow": {"tracking_uri": "https://me:you@mlflow"}}},
        "config.mlflow.tracking_uri holds a user or password",
    ),
    "no features": ({"config": {"model": {"features": []}}}, "config.model.features is empty"),
    "text that is not TOML": ({"configToml": "[model"}, "configToml is not TOML: "),
    "a secret given twice": (
        {"secrets": SECRETS[:1], "extraEnv": [{"name": "PENSTOCK_KAFKA__SASL_USERNAME", "value": "u"}]},
        "PENSTOCK_KAFKA__SASL_USERNAME is given twice",
    ),
    "a file for a foreign name": (
        {"secrets": [SECRETS[3] | {"asFile": True}]},
        "AWS_SECRET_ACCESS_KEY cannot be a file; only PENSTOCK_SECTION__KEY is read from one.",
    ),
    "an owned variable": (
        {"extraEnv": [{"name": "PENSTOCK_SERVING__PORT", "value": "80"}]},
        "PENSTOCK_SERVING__PORT cannot be set: the chart decides",
    ),
    "an unknown section": ({"config": {"traning": {}}}, "'traning' not allowed"),
    "an unknown key": ({"config": {"intake": {"max_event": 1}}}, "'max_event' not allowed"),
    "an unknown value": ({"replicas": 3}, "'replicas' not allowed"),
    "a budget that blocks every drain": (
        {"replica": {"podDisruptionBudget": {"maxUnavailable": 0}}},
        "/replica/podDisruptionBudget/maxUnavailable",
    ),
    "an origin that no browser sends": (
        {"config": {"serving": {"cors_origins": ["https://shop.example/"]}}},
        "/config/serving/cors_origins/0",
    ),
    "running as root": ({"podSecurityContext": {"runAsUser": 0}}, "/podSecurityContext/runAsUser"),
}


@pytest.mark.parametrize(("values", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_impossible_values_are_refused_with_a_sentence(values: Values, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedValuesError, match=re.escape(sentence)):
        render(values, tmp_path)


@pytest.mark.parametrize(
    ("section", "key"), [(section, key) for section, keys in OWNED_BY_CHART.items() for key in sorted(keys)]
)
def test_what_the_chart_decides_cannot_be_configured(section: str, key: str, tmp_path: Path) -> None:
    value = 1 if key.endswith("port") else "x"
    with pytest.raises(RefusedValuesError, match=f"config.{section}.{key} cannot be set: the chart decides"):
        render({"config": {section: {key: value}}}, tmp_path)


@pytest.mark.parametrize("key", OWNED_KEYS)
def test_what_penstock_decides_of_kafka_cannot_be_configured(key: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedValuesError, match=f'config.kafka."{re.escape(key)}" cannot be set'):
        render({"config": {"kafka": {key: "1"}}}, tmp_path)


@pytest.mark.parametrize(
    "key",
    ["sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config"],
)
def test_a_secret_cannot_be_put_into_the_config_map(key: str, tmp_path: Path) -> None:
    variable = f"PENSTOCK_KAFKA__{key.upper().replace('.', '_')}"
    with pytest.raises(RefusedValuesError, match=rf"would stand readable in a ConfigMap; .* env {variable}\."):
        render({"config": {"kafka": {key: "hunter2"}}}, tmp_path)


def test_the_schema_refuses_unknown_names_everywhere() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    open_objects = [
        path
        for path, node in _nodes(schema, "")
        if "properties" in node and node.get("additionalProperties") is not False
    ]
    assert open_objects == []


def _nodes(node: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    """Every object of a JSON document with its path."""
    if isinstance(node, list):
        return [found for position, inner in enumerate(node) for found in _nodes(inner, f"{path}/{position}")]
    if not isinstance(node, dict):
        return []
    return [(path, node), *(found for key, inner in node.items() for found in _nodes(inner, f"{path}/{key}"))]
