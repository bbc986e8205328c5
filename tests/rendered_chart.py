"""Renders the chart with Helm, as its user would, and reads what a pod would see of it."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # PyYAML publishes no types

from helm_binary import helm_binary
from penstock.settings import Settings, load

CHART = Path(__file__).resolve().parents[1] / "helm" / "penstock"
KUBERNETES = "1.34.0"

Object = Mapping[str, Any]


class RefusedValuesError(Exception):
    """Helm would not render; the text is what it said."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """All objects of one rendering."""

    objects: tuple[Object, ...]

    def one(self, kind: str, name: str = "") -> Object:
        """The only object of this kind (and name)."""
        found = self.all(kind, name)
        assert len(found) == 1, f"{len(found)} objects are a {kind} {name}"
        return found[0]

    def all(self, kind: str, name: str = "") -> list[Object]:
        """Every object of this kind (and name)."""
        return [one for one in self.objects if one["kind"] == kind and (not name or one["metadata"]["name"] == name)]

    def pods(self) -> dict[str, Object]:
        """Pod specs by the name of their only container."""
        specs = [one["spec"]["template"]["spec"] for one in self.objects if "template" in one.get("spec", {})]
        return {spec["containers"][0]["name"]: spec for spec in specs}

    def settings(self, pod: str, secrets: Mapping[str, str], folder: Path) -> Settings:
        """What Penstock reads inside a pod: its mounted configuration file, under its environment.

        Args:
            pod: trainer, replica or topics.
            secrets: the content of the Secrets, by `<secret>/<key>`.
            folder: where mounted files are laid out.
        """
        spec = self.pods()[pod]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        config = self.one("ConfigMap", volumes["config"]["configMap"]["name"])
        file = folder / "penstock.toml"
        file.write_text(config["data"]["penstock.toml"], encoding="utf-8")
        mounted = {}
        for source in volumes.get("secrets", {}).get("projected", {}).get("sources", []):
            for item in source["secret"]["items"]:
                mounted[item["path"]] = secrets[f"{source['secret']['name']}/{item['key']}"]
        for path, content in mounted.items():
            (folder / path).write_text(content, encoding="utf-8")
        environ = {}
        for entry in spec["containers"][0].get("env", []):
            if "valueFrom" in entry:
                reference = entry["valueFrom"]["secretKeyRef"]
                environ[entry["name"]] = secrets[f"{reference['name']}/{reference['key']}"]
            elif entry["name"].endswith("__FILE"):
                environ[entry["name"]] = str(folder / Path(entry["value"]).name)
            else:
                environ[entry["name"]] = entry["value"]
        return load(file, environ)


def render(values: Mapping[str, Any], folder: Path, *, chart: Path = CHART) -> Release:
    """What `helm template line CHART` prints with these values.

    Raises:
        RefusedValuesError: the schema or a check of the chart refuses the values.
    """
    text = helm(["template", "line"], values, folder, chart=chart)
    return Release(objects=tuple(one for one in yaml.safe_load_all(text) if one is not None))


def helm(command: list[str], values: Mapping[str, Any], folder: Path, *, chart: Path = CHART) -> str:
    """Run one Helm command on the chart; returns what it prints."""
    file = folder / "values.json"  # JSON is YAML
    file.write_text(json.dumps(values), encoding="utf-8")
    done = subprocess.run(
        [helm_binary(), *command, chart, "--values", file, "--kube-version", KUBERNETES],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RefusedValuesError(f"{done.stdout}\n{done.stderr}")
    return done.stdout


def mount_path(container: Object, volume: str) -> str:
    """Where a container sees a volume."""
    (path,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == volume]
    return str(path)
