"""Value sets for the chart: from nothing at all to everything that can be set."""

from typing import Any

Values = dict[str, Any]

EVERY_KEY: Values = {
    "model": {
        "name": "spam.v2",
        "heads": ["linear", "instances"],
        "max_classes": 500,
        "features": [
            {"name": "amount", "kind": "number"},
            {"name": 'body "quoted" \\ <b> é', "kind": "text", "buckets": 4096},
            {"name": "country", "kind": "category"},
            {"name": "pixels", "kind": "vector", "width": 64},
        ],
        "warm_start": {"uri": "models:/spam@best"},
        "backbone": {
            "kind": "shop.models:factory",
            "hidden": [256, 128],
            "embedding_buckets": 1000,
            "embedding_width": 32,
            "max_tokens": 64,
            "options": {"depth": 3, "rate": 0.5, "wide": True, "name": "x"},
        },
    },
    "kafka": {
        "bootstrap.servers": "a:9092,b:9092",
        "security.protocol": "sasl_ssl",
        "session.timeout.ms": 45000,
        "sasl.oauthbearer.token.endpoint.url": "https://tokens.example",
    },
    "intake": {
        "max_events": 512,
        "max_age_seconds": 0,
        "idle_seconds": 2.5,
        "invalid_window": 50,
        "max_invalid_ratio": 0.25,
        "max_invalid_run": 9,
        "dedupe_window_events": 1000,
        "late_labels": {"window_seconds": 600, "wait_seconds": 0.5, "max_predictions": 20_000_000, "max_bytes": 10**9},
    },
    "replay": {"capacity": 20_000_000, "rows_per_step": 128, "policy": "recency", "half_life_events": 2.5e6},
    "training": {
        "device": "cuda",
        "learning_rate": 0.00001,
        "inner_steps": 2,
        "seed": 4_000_000_000,
        "num_threads": 2,
        "prequential_fading": 1,
        "analytic_forgetting": 0.999,
        "learning_rates": {
            "head": 1,
            "last_block": 0.3,
            "lower": 0.1,
            "frozen": ["lower", "last_block"],
            "unfreeze_after_events": 10_000,
        },
        "options": {
            "der_weight": 0.5,
            "er_ace": True,
            "weight_aligning_events": 1000,
            "ema_decay": 0.999,
            "ewc_strength": 1,
            "si_strength": 0.1,
            "lwf_weight": 1,
            "anchor_events": 5000,
            "importance_rate": 0.3,
        },
    },
    "publish": {
        "min_interval_seconds": 0.25,
        "max_interval_seconds": 60,
        "inline_max_bytes": 1_000_000,
        "signing_key_file": "/etc/keys/signing",
        "delta_updates": False,
        "full_interval_seconds": 60.0,
        "gate": {
            "enabled": True,
            "held_out_share": 0.05,
            "rows_per_class": 50,
            "margin": 0.02,
            "class_margin": 0.1,
            "confidence": 0.9,
        },
    },
    "mlflow": {
        "tracking_uri": "http://mlflow:5000",
        "experiment": "spam",
        "record_interval_seconds": 30,
        "report_interval_seconds": 0,
        "timeout_seconds": 5,
        "enabled": True,
    },
    "serving": {
        "device": "auto",
        "processes": 2,
        "num_threads": 3,
        "max_queued_requests": 64,
        "max_batch_rows": 32,
        "max_batch_delay_seconds": 0.002,
        "max_body_bytes": 1048576,
        "max_request_rows": 5000,
        "max_text_bytes": 70000,
        "timeout_seconds": 2.5,
        "resident_versions": 5,
        "load_on_demand": 2,
        "signing_key_file": "/etc/keys/verifying",
        "max_weights_bytes": 20_000_000,
        "cors_origins": ["https://shop.example"],
        "allowed_weights_prefixes": ["s3://models/"],
        "fetch_timeout_seconds": 20.0,
        "max_staleness_seconds": 600.0,
        "grace_seconds": 22.5,
        "prediction_log": {"enabled": True, "sample": 0.25},
    },
    "state": {"checkpoints_kept": 5, "on_write_failure": "pause"},
}
OWNED_BY_CHART = {"serving": {"host", "port", "grpc_port"}, "telemetry": {"host", "port"}, "state": {"directory"}}
SECRETS: list[Values] = [
    {"env": "PENSTOCK_KAFKA__SASL_USERNAME", "secretName": "kafka", "secretKey": "user"},
    {"env": "PENSTOCK_KAFKA__SASL_PASSWORD", "secretName": "kafka", "secretKey": "password", "asFile": True},
    {"env": "PENSTOCK_MLFLOW__TRACKING_URI", "secretName": "mlflow", "secretKey": "uri", "asFile": True},
    {"env": "AWS_SECRET_ACCESS_KEY", "secretName": "store", "secretKey": "key"},
]
SECRET_CONTENTS = {"kafka/user": "u", "kafka/password": "p\n", "mlflow/uri": "https://me:you@mlflow", "store/key": "k"}
EVERYTHING: Values = {
    "image": {"repository": "images.example/penstock", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "pull"}],
    "config": EVERY_KEY,
    "secrets": SECRETS,
    "extraEnv": [{"name": "REQUESTS_CA_BUNDLE", "value": "/ca/bundle.pem"}],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    "serviceAccount": {"annotations": {"role": "reader"}},
    "trainer": {
        "gpu": {"count": 1},
        "persistence": {"storageClassName": "fast"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "podAnnotations": {"note": "trainer"},
    },
    "replica": {
        "autoscaling": {"enabled": True, "minReplicas": 3},
        "topologySpread": "DoNotSchedule",
        "service": {"type": "LoadBalancer", "port": 80, "annotations": {"internal": "true"}},
        "podAnnotations": {"note": "replica"},
        "affinity": {"nodeAffinity": {}},
    },
    "topics": {"create": True, "extraArgs": ["--partitions=12"]},
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
}
RAW_TOML = """
[model]
name = "raw"
[[model.features]]
name = "amount"
kind = "number"
[kafka]
bootstrap.servers = "broker:9092"
[serving]
host = "127.0.0.1"
port = 9999
grace_seconds = 30
"""
VALUE_SETS: dict[str, Values] = {
    "defaults": {},
    "everything": EVERYTHING,
    "raw text": {"configToml": RAW_TOML},
    "trainer only": {"replica": {"enabled": False}},
    "replicas only": {"trainer": {"enabled": False}},
    "no account of its own": {"serviceAccount": {"create": False}},
    "ids left to the platform": {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}},
}
