"""What Penstock reads of a Helm release: its configuration file, its environment and its secrets."""

import dataclasses
import json
import re
import typing
from pathlib import Path
from typing import Any

import pytest

from chart_values import EVERY_KEY, EVERYTHING, OWNED_BY_CHART, RAW_TOML, SECRET_CONTENTS, VALUE_SETS, Values
from penstock.errors import ConfigurationError
from penstock.settings import Settings, load
from rendered_chart import CHART, mount_path, render


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_every_pod_starts_with_a_configuration_that_penstock_accepts(values: Values, tmp_path: Path) -> None:
    release = render(values, tmp_path)
    for name, pod in release.pods().items():
        (container,) = pod["containers"]
        settings = release.settings(name, SECRET_CONTENTS, tmp_path)
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        if name == "trainer":
            assert (settings.telemetry.host, settings.telemetry.port) == ("0.0.0.0", ports["metrics"])
            assert settings.state.directory.is_relative_to(mount_path(container, "state"))
        if name == "replica":
            assert (settings.serving.host, settings.serving.port) == ("0.0.0.0", ports["http"])
        if "secrets" in values:
            assert settings.kafka["sasl.username"] == "u"
            assert settings.kafka["sasl.password"] == "p"
            assert settings.mlflow.tracking_uri == "https://me:you@mlflow"


def test_the_environment_of_the_image_is_accepted_too(tmp_path: Path) -> None:
    image = (CHART.parents[1] / "Dockerfile").read_text(encoding="utf-8")
    environ = dict(re.findall(r"(PENSTOCK_\w+)=(\S+)", image))
    file = tmp_path / "penstock.toml"
    file.write_text(RAW_TOML, encoding="utf-8")
    settings = load(file, environ)
    assert settings.serving.host == settings.telemetry.host == "0.0.0.0"


def test_structured_values_arrive_unchanged(tmp_path: Path) -> None:
    settings = render(EVERYTHING | {"secrets": []}, tmp_path).settings("replica", {}, tmp_path)
    arrived = {name: _plain(getattr(settings, name)) for name in EVERY_KEY}
    for section, keys in EVERY_KEY.items():
        assert {key: arrived[section][key] for key in keys} == keys, section
    assert settings.kafka["session.timeout.ms"] == 45000
    assert isinstance(settings.kafka["session.timeout.ms"], int)  # librdkafka refuses 45000.0


def test_the_schema_of_config_names_exactly_the_keys_of_penstock() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert _schema_keys(schema["properties"]["config"]) == _settings_keys(Settings)


def test_the_test_values_use_every_key_that_the_chart_leaves_to_its_user() -> None:
    known = _settings_keys(Settings)
    for section in set(known) - {"model", "kafka"}:
        assert set(EVERY_KEY.get(section, ())) == set(known[section]) - OWNED_BY_CHART.get(section, set()), section


def test_changed_configuration_restarts_pods_and_nothing_else_does(tmp_path: Path) -> None:
    def checksums(values: Values) -> set[str]:
        release = render(values, tmp_path)
        workloads = [release.one("StatefulSet"), release.one("Deployment")]
        return {one["spec"]["template"]["metadata"]["annotations"]["checksum/config"] for one in workloads}

    before = checksums({})
    assert len(before) == 1
    assert checksums({"replica": {"replicas": 5}, "topics": {"create": True}}) == before
    assert checksums({"config": {"replay": {"capacity": 1}}}) != before


def test_no_secret_value_enters_an_object(tmp_path: Path) -> None:
    release = render(EVERYTHING, tmp_path)
    assert release.all("Secret") == []
    environment = {entry["name"]: entry for entry in release.pods()["trainer"]["containers"][0]["env"]}
    assert environment["AWS_SECRET_ACCESS_KEY"]["valueFrom"] == {"secretKeyRef": {"name": "store", "key": "key"}}
    assert "PENSTOCK_KAFKA__SASL_PASSWORD" not in environment
    assert environment["PENSTOCK_KAFKA__SASL_PASSWORD__FILE"]["value"] == (
        f"{mount_path(release.pods()['trainer']['containers'][0], 'secrets')}/PENSTOCK_KAFKA__SASL_PASSWORD"
    )


def test_a_misspelt_variable_is_refused_by_penstock_itself(tmp_path: Path) -> None:
    release = render({"extraEnv": [{"name": "PENSTOCK_INTAKE__MAX_EVENT", "value": "1"}]}, tmp_path)
    with pytest.raises(ConfigurationError, match="PENSTOCK_INTAKE__MAX_EVENT"):
        release.settings("trainer", {}, tmp_path)


def _plain(value: Any) -> Any:
    """Dataclasses as the dictionaries they were configured from, without what was left out."""
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [
            {key: inner for key, inner in _plain(one).items() if inner is not None}
            if dataclasses.is_dataclass(one)
            else one
            for one in value
        ]
    return value


def _settings_keys(owner: Any) -> dict[str, Any]:
    """The tree of keys of a configuration dataclass; leaves are empty."""
    keys: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(owner).items():
        inner = [one for one in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(one)]
        keys[name] = _settings_keys(inner[0]) if inner else {}
    return keys


def _schema_keys(node: Any) -> dict[str, Any]:
    return {name: _schema_keys(inner.get("items", inner)) for name, inner in node.get("properties", {}).items()}
