"""The objects of a Helm release."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from chart_values import EVERY_KEY, EVERYTHING, RAW_TOML, VALUE_SETS, Values
from penstock.processes import cli
from rendered_chart import CHART, helm, mount_path, render


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_helm_lints_the_chart_strictly(values: Values, tmp_path: Path) -> None:
    assert "0 chart(s) failed" in helm(["lint", "--strict"], values, tmp_path)


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_every_pod_runs_a_command_that_exists(values: Values, tmp_path: Path) -> None:
    for pod in render(values, tmp_path).pods().values():
        arguments = list(pod["containers"][0]["args"])
        command: Any = cli.commands
        while hasattr(command, "commands"):
            command = command.commands[arguments.pop(0)]
        command.make_context("penstock", arguments)  # parses, and raises on what it does not know


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_every_pod_meets_the_restricted_security_standard(values: Values, tmp_path: Path) -> None:
    for pod in render(values, tmp_path).pods().values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"]
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_every_volume_is_mounted_and_every_mount_has_a_volume(values: Values, tmp_path: Path) -> None:
    release = render(values, tmp_path)
    claimed = {
        one["metadata"]["name"] for set_ in release.all("StatefulSet") for one in set_["spec"]["volumeClaimTemplates"]
    }
    for name, pod in release.pods().items():
        volumes = {volume["name"] for volume in pod["volumes"]} | (claimed if name == "trainer" else set())
        mounts = [mount["name"] for mount in pod["containers"][0]["volumeMounts"]]
        assert sorted(mounts) == sorted(volumes)


def test_the_image_and_the_chart_agree_on_ids_paths_and_ports(tmp_path: Path) -> None:
    image = (CHART.parents[1] / "Dockerfile").read_text(encoding="utf-8")
    pods = render({}, tmp_path).pods()
    user = {key: pods["trainer"]["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")}
    assert user == dict.fromkeys(user, 10001)
    assert "\nUSER 10001:10001\n" in image
    assert f"\nVOLUME {mount_path(pods['trainer']['containers'][0], 'state')}\n" in image
    ports = [port["containerPort"] for pod in pods.values() for port in pod["containers"][0]["ports"]]
    assert f"\nEXPOSE {' '.join(map(str, sorted(ports)))}\n" in image


def test_a_model_has_one_writer_that_keeps_its_volume(tmp_path: Path) -> None:
    trainer = render({}, tmp_path).one("StatefulSet", "line-penstock-trainer")["spec"]
    assert trainer["replicas"] == 1
    assert trainer["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert trainer["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "10Gi"


def test_a_trainer_asks_for_its_gpu(tmp_path: Path) -> None:
    resources = render(EVERYTHING, tmp_path).pods()["trainer"]["containers"][0]["resources"]
    assert resources["limits"] == {"memory": "2Gi", "nvidia.com/gpu": 1}


def test_replicas_are_probed_on_the_health_routes(tmp_path: Path) -> None:
    replica = render({}, tmp_path).pods()["replica"]["containers"][0]
    assert replica["livenessProbe"]["httpGet"] == {"path": "/v2/health/live", "port": "http"}
    assert replica["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": "http"}


def test_a_replica_has_time_for_its_requests_in_flight(tmp_path: Path) -> None:
    replica = render(EVERYTHING, tmp_path).pods()["replica"]
    pause = replica["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert replica["terminationGracePeriodSeconds"] >= EVERY_KEY["serving"]["grace_seconds"] + pause
    assert render({"configToml": RAW_TOML}, tmp_path).pods()["replica"]["terminationGracePeriodSeconds"] >= 30 + pause


def test_an_autoscaler_owns_the_number_of_replicas(tmp_path: Path) -> None:
    release = render(EVERYTHING, tmp_path)
    assert "replicas" not in release.one("Deployment")["spec"]
    assert release.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "line-penstock-replica"
    fixed = render({}, tmp_path)
    assert fixed.one("Deployment")["spec"]["replicas"] == 2
    assert fixed.all("HorizontalPodAutoscaler") == []


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget"])
@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_what_selects_pods_finds_exactly_those_of_its_component(kind: str, values: Values, tmp_path: Path) -> None:
    release = render(values, tmp_path)
    templates = [
        one["spec"]["template"]["metadata"]["labels"] for one in release.objects if "template" in one.get("spec", {})
    ]
    for one in release.all(kind):
        selector = one["spec"]["selector"].get("matchLabels", one["spec"]["selector"])
        found = [labels for labels in templates if selector.items() <= labels.items()]
        assert [labels["app.kubernetes.io/component"] for labels in found] == [
            one["metadata"]["labels"]["app.kubernetes.io/component"]
        ]


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_every_object_carries_the_recommended_labels(values: Values, tmp_path: Path) -> None:
    for one in render(values, tmp_path).objects:
        names = {name.removeprefix("app.kubernetes.io/") for name in one["metadata"]["labels"]}
        assert names >= {"name", "instance", "version", "component", "part-of", "managed-by", "helm.sh/chart"}


def test_topics_are_created_before_anything_else_exists(tmp_path: Path) -> None:
    release = render(EVERYTHING, tmp_path)
    hooks = [one for one in release.objects if one["metadata"]["name"] == "line-penstock-topics"]
    assert [one["kind"] for one in hooks] == ["ConfigMap", "Job"]
    for one in hooks:
        assert one["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert release.pods()["topics"]["containers"][0]["args"][-1] == "--partitions=12"
    assert "serviceAccountName" not in release.pods()["topics"]  # the release's own does not exist yet
    assert render({}, tmp_path).all("Job") == []


def test_names_stay_within_the_limits_of_kubernetes(tmp_path: Path) -> None:
    for values in ({"nameOverride": "n" * 63}, {"fullnameOverride": "f" * 63}):
        release = render(values, tmp_path)
        assert len(release.one("StatefulSet")["metadata"]["name"]) <= 52
        assert all(len(one["metadata"]["name"]) <= 63 for one in release.objects)


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_the_notes_name_objects_and_commands_that_exist(values: Values, tmp_path: Path) -> None:
    chart = shutil.copytree(CHART, tmp_path / "chart")
    notes = (chart / "templates" / "NOTES.txt").read_text(encoding="utf-8")
    (chart / "templates" / "notes.yaml").write_text(
        f'{{{{ define "notes" }}}}{notes}{{{{ end }}}}kind: Notes\ntext: {{{{ include "notes" . | toJson }}}}\n',
        encoding="utf-8",
    )
    release = render(values, tmp_path, chart=chart)
    text = release.one("Notes")["text"]
    real = {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in release.objects if "metadata" in one}
    named = set(re.findall(r"(?:statefulset|deployment|service)/[\w-]+", text))
    assert named
    assert named <= real
    assert set(re.findall(r"penstock (status|topics|doctor|train|serve)\b", text)) <= set(cli.commands.commands)
