"""`penstock topics create`."""

import click

from penstock.adapters.kafka.topics import create_topics
from penstock.settings import Settings


def create(settings: Settings, *, partitions: int, replication_factor: int) -> int:
    """Create what is missing and say what there is; 1 if something that exists cannot be used."""
    findings = create_topics(
        settings.kafka,
        settings.model.name,
        partitions=partitions,
        replication_factor=replication_factor,
        prediction_window_seconds=settings.prediction_window_seconds,
    )
    for finding in findings:
        click.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.sentence}")
    return 0 if all(finding.ok for finding in findings) else 1
