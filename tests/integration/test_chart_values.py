"""Every value of the chart reaches the objects that it is for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # PyYAML publishes no types

from chart_values import Values
from rendered_chart import CHART, helm, render

MARKED: Values = {
    "image": {"repository": "images.example/marked", "tag": "tag-m1", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull-m2"}],
    "fullnameOverride": "full-m3",
    "secrets": [{"env": "PENSTOCK_KAFKA__SASL_USERNAME", "secretName": "secret-m4", "secretKey": "key-m5"}],
    "extraEnv": [{"name": "ENV_M6", "value": "value-m7"}],
    "extraVolumes": [{"name": "volume-m8", "configMap": {"name": "map-m9"}}],
    "extraVolumeMounts": [{"name": "volume-m8", "mountPath": "/mount-m10"}],
    "serviceAccount": {"annotations": {"account": "annotation-m11"}},
    "podSecurityContext": {"runAsUser": 41012, "runAsGroup": 41013, "fsGroup": 41014},
    "trainer": {
        "gpu": {"count": 3115, "resource": "example.com/gpu-m16"},
        "resources": {"requests": {"cpu": "3117m", "memory": "3118Mi"}, "limits": {"memory": "3119Mi"}},
        "persistence": {"size": "3120Gi", "storageClassName": "class-m21"},
        "terminationGracePeriodSeconds": 3122,
        "podAnnotations": {"trainer": "annotation-m23"},
        "nodeSelector": {"trainer": "node-m24"},
        "tolerations": [{"key": "toleration-m25", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": ["affinity-m26"]}},
    },
    "replica": {
        "replicas": 3127,
        "podDisruptionBudget": {"maxUnavailable": 3128},
        "topologySpread": "DoNotSchedule",
        "service": {"type": "NodePort", "port": 31029, "grpcPort": 31030, "annotations": {"service": "annotation-m31"}},
        "resources": {"requests": {"cpu": "3132m", "memory": "3133Mi"}, "limits": {"memory": "3134Mi"}},
        "podAnnotations": {"replica": "annotation-m35"},
        "nodeSelector": {"replica": "node-m36"},
        "tolerations": [{"key": "toleration-m37", "operator": "Exists"}],
        "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": ["affinity-m38"]}},
    },
    "topics": {"create": True, "extraArgs": ["--partitions=3139"]},
    "podMonitor": {"enabled": True, "interval": "3140s", "labels": {"monitor": "label-m41"}},
}
"""Every value that is no switch, each as it stands nowhere else; `config` has tests of its own."""
MARKED_OTHERWISE: Values = {
    "image": {"digest": "sha256:" + "4" * 64},
    "nameOverride": "name-m42",
    "serviceAccount": {"create": False, "name": "account-m43"},
    "replica": {
        "autoscaling": {
            "enabled": True,
            "minReplicas": 3144,
            "maxReplicas": 3145,
            "targetCPUUtilizationPercentage": 3146,
        }
    },
}
"""What rules out some of those."""


def leaves(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Paths of keys, and what stands there; what a user fills in is one leaf."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, f"{path}.{key}")
    elif isinstance(values, list) and values:
        for value in values:
            yield from leaves(value, path)
    else:
        yield path, values


def test_every_value_reaches_the_cluster(tmp_path: Path) -> None:
    for values in (MARKED, MARKED_OTHERWISE):
        text = helm(["template", "line"], values, tmp_path)
        marks = {path: str(value) for path, value in leaves(values) if not isinstance(value, bool)}
        assert {path for path, mark in marks.items() if mark not in text} == set()
    for pod in render(MARKED, tmp_path).pods().values():
        assert pod["containers"][0]["imagePullPolicy"] == "Always"
    paused = render({"trainer": {"replicas": 0}}, tmp_path)
    assert paused.one("StatefulSet")["spec"]["replicas"] == 0
    (monitor,) = render(MARKED, tmp_path).all("PodMonitor")
    assert [endpoint["interval"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == ["3140s"] * 2


def test_every_value_is_marked_in_one_of_the_two() -> None:
    known = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    marked = [path for values in (MARKED, MARKED_OTHERWISE) for path, _ in leaves(values)]
    for path, value in leaves(known):
        if (
            not isinstance(value, bool)
            and not path.startswith((".config.", ".configToml"))
            and path != ".trainer.replicas"
        ):
            assert any(each == path or each.startswith(f"{path}.") for each in marked), path
