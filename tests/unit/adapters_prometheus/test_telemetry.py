"""Metrics as Prometheus scrapes them."""

import socket
import urllib.error
import urllib.request
from typing import Literal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.adapters.prometheus.telemetry import PrometheusTelemetry
from penstock.errors import ConfigurationError
from penstock.telemetry import METRICS


def samples(telemetry: PrometheusTelemetry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = telemetry.render()[0].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("side", ["trainer", "replica"])
def test_each_side_exposes_its_metrics_and_no_others(side: Literal["trainer", "replica"]) -> None:
    text = PrometheusTelemetry(side=side).render()[0].decode()
    for metric in METRICS:
        family = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
        assert (f"# TYPE {family}" in text) == (metric.side in (side, "both")), metric.name


def test_counts_gauges_and_observations_are_exposed() -> None:
    telemetry = PrometheusTelemetry(side="replica")
    telemetry.count("penstock_swaps_total", result="swapped")
    telemetry.count("penstock_swaps_total", 3, result="swapped")
    telemetry.count("penstock_swaps_total", result="digest")
    telemetry.gauge("penstock_model_version", 7)
    telemetry.observe("penstock_freshness_seconds", 0.06)
    found = samples(telemetry)
    assert found["penstock_swaps_total", (("result", "swapped"),)] == 4
    assert found["penstock_swaps_total", (("result", "digest"),)] == 1
    assert found["penstock_model_version", ()] == 7
    assert found["penstock_freshness_seconds_bucket", (("le", "0.05"),)] == 0
    assert found["penstock_freshness_seconds_bucket", (("le", "0.075"),)] == 1
    assert found["penstock_freshness_seconds_count", ()] == 1


def test_the_info_series_shows_just_the_weights_identified_last() -> None:
    telemetry = PrometheusTelemetry(side="trainer")
    for version in (1, 2):
        telemetry.identify(model="m", version=version, sha256=f"{version}" * 64)
    info = {labels: value for (name, labels), value in samples(telemetry).items() if name == "penstock_model_info"}
    assert info == {(("model", "m"), ("sha256", "2" * 64), ("version", "2")): 1}


def test_no_created_series_stand_beside_the_counters() -> None:
    telemetry = PrometheusTelemetry(side="replica")
    telemetry.count("penstock_requests_total", code="200")
    assert "_created" not in telemetry.render()[0].decode()


def test_the_process_is_measured_too() -> None:
    assert ("process_resident_memory_bytes", ()) in samples(PrometheusTelemetry(side="trainer"))


def test_a_metric_of_the_other_side_or_a_wrong_label_is_a_defect() -> None:
    telemetry = PrometheusTelemetry(side="trainer")
    with pytest.raises(KeyError):
        telemetry.count("penstock_swaps_total", result="swapped")
    with pytest.raises(ValueError, match="label"):
        telemetry.count("penstock_events_invalid_total", cause="x")


def test_two_of_them_in_one_process_do_not_meet() -> None:
    one, other = PrometheusTelemetry(side="replica"), PrometheusTelemetry(side="replica")
    one.gauge("penstock_model_version", 1)
    assert samples(other)["penstock_model_version", ()] == 0


def test_the_trainers_metrics_are_served_until_closed() -> None:
    telemetry = PrometheusTelemetry(side="trainer")
    telemetry.count("penstock_events_learnt_total", 5)
    server = telemetry.serve("127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.port}"
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        assert b"penstock_events_learnt_total 5.0" in response.read()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{url}/other", timeout=60)
    assert refused.value.code == 404
    refused.value.close()
    server.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=60)


def test_a_port_in_use_is_named_with_its_key() -> None:
    telemetry = PrometheusTelemetry(side="trainer")
    server = telemetry.serve("127.0.0.1", 0)
    try:
        with pytest.raises(ConfigurationError, match=f"telemetry.port is {server.port}: .*in use"):
            telemetry.serve("127.0.0.1", server.port)
    finally:
        server.close()
