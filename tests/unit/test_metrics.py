"""The tables of metrics and the `Literal` of their names say the same."""

from typing import get_args

from penstock.telemetry import METRICS, MetricName


def test_every_metric_name_has_one_row() -> None:
    assert sorted(metric.name for metric in METRICS) == sorted(get_args(MetricName))


def test_histograms_alone_have_buckets() -> None:
    for metric in METRICS:
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric.name
