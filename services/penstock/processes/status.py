"""`penstock status`: is the thing learning? Read from the topics and the replicas, so it runs anywhere."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from penstock.adapters.kafka.topic_ends import read_ends
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.kafka.update_feed import KafkaUpdateFeed
from penstock.clock import SystemClock, to_rfc3339
from penstock.flow import ModelUpdate, Offsets
from penstock.processes.signing import serving_keys
from penstock.settings import Settings

REPLICA_SECONDS = 2.0
SPEED_SECONDS = 1.0
"""The time over which events a second are measured, from two readings of the update topic."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """One reading of everything."""

    model: str
    update: ModelUpdate | None
    events_per_second: float | None
    lag_events: int
    replicas: dict[str, str]
    now_ms: int

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        update = self.update
        return {
            "model": self.model,
            "version": update.version if update else None,
            "epoch": update.epoch if update else None,
            "sha256": update.sha256 if update else None,
            "trained_until": to_rfc3339(update.trained_until_ms) if update else None,
            "announced_at": to_rfc3339(update.announced_at_ms) if update else None,
            "age_seconds": self.age_seconds,
            "metrics": dict(update.metrics) if update else {},
            "events_per_second": self.events_per_second,
            "lag_events": self.lag_events,
            "replicas": self.replicas,
        }

    @property
    def age_seconds(self) -> float | None:
        """Since the newest version was announced."""
        return max(self.now_ms - self.update.announced_at_ms, 0) / 1000 if self.update else None


def run(settings: Settings, *, replicas: Sequence[str], as_json: bool) -> int:
    """Print the status; 0 if a version has been announced, 1 otherwise."""
    addresses = replicas or (f"http://{settings.serving.host}:{settings.serving.port}",)
    status = _read(settings, addresses)
    click.echo(json.dumps(status.to_json(), indent=2) if as_json else table(status))
    return 0 if status.update is not None else 1


def _read(settings: Settings, addresses: Sequence[str]) -> Status:
    feed = KafkaUpdateFeed(settings.kafka, settings.model.name, signing_keys=serving_keys(settings))
    try:
        first = _newest(feed.newest())
        second = _follow(feed, first)
    finally:
        feed.close()
    ends = read_ends(settings.kafka, TopicNames(settings.model.name).labels)
    learnt = second.offsets if second else Offsets()
    return Status(
        model=settings.model.name,
        update=second,
        events_per_second=speed(first, second),
        lag_events=sum(max(end - learnt[partition], 0) for partition, end in ends.next.items()),
        replicas={address: _served_version(address, settings.model.name) for address in addresses},
        now_ms=SystemClock().now_ms(),
    )


def _newest(records: Sequence[object]) -> ModelUpdate | None:
    updates = [record for record in records if isinstance(record, ModelUpdate)]
    return max(updates, key=lambda update: (update.epoch, update.version), default=None)


def _follow(feed: KafkaUpdateFeed, first: ModelUpdate | None) -> ModelUpdate | None:
    """The newest update after watching the topic for a moment."""
    newest, deadline = first, time.monotonic() + SPEED_SECONDS
    while (remaining := deadline - time.monotonic()) > 0:
        newest = _newest([newest, *feed.poll(remaining)])
    return newest


def speed(first: ModelUpdate | None, second: ModelUpdate | None) -> float | None:
    """Events a second that were learnt between two updates; None while there is none."""
    if first is None or second is None:
        return None
    seconds = (second.announced_at_ms - first.announced_at_ms) / 1000
    if seconds <= 0:
        return 0.0
    return (second.metrics.get("events_learnt", 0) - first.metrics.get("events_learnt", 0)) / seconds


def _served_version(address: str, model: str) -> str:
    """What one replica answers with, or why it does not."""
    try:
        with urllib.request.urlopen(f"{address}/v2/models/{model}", timeout=REPLICA_SECONDS) as response:
            versions = json.load(response)["versions"]
            return f"version {versions[-1]}" if versions else "no version yet"
    except urllib.error.HTTPError as error:
        return "not ready" if error.code == 503 else f"answers {error.code}"
    except (KeyError, TypeError, json.JSONDecodeError):
        return "answers as no replica does"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"does not answer ({getattr(error, 'reason', None) or error!s})"


def table(status: Status) -> str:
    """The status for people, a line each."""
    rows = [("model", status.model)]
    update = status.update
    if update is None:
        rows.append(("version", "none announced yet: is `penstock train` running, and are events arriving?"))
    else:
        rows += [
            ("version", f"{update.version} (epoch {update.epoch}), announced {status.age_seconds:.1f} s ago"),
            ("trained until", to_rfc3339(update.trained_until_ms)),
            ("events learnt", f"{update.metrics.get('events_learnt', 0):,.0f}"),
            ("events/s", f"{status.events_per_second:,.1f}" if status.events_per_second is not None else "unknown"),
            ("classes", f"{update.metrics.get('classes', 0):.0f}"),
            ("accuracy", _accuracy(update)),
            *_of_versions(update.metrics),
        ]
    rows.append(("lag", f"{status.lag_events:,} messages behind the end of the label topic"))
    rows += [(f"replica {address}", answer) for address, answer in status.replicas.items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _accuracy(update: ModelUpdate) -> str:
    accuracy = update.metrics.get("prequential_accuracy")
    return "unknown until something is learnt" if accuracy is None else f"{accuracy:.3f} prequential, before learning"


def _of_versions(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    """How good versions were: the one before, and those of whose answers late labels have told."""
    rows = []
    if "previous_version/version" in metrics:
        rows.append(
            (
                f"version {metrics['previous_version/version']:.0f}",
                f"{metrics['previous_version/accuracy']:.3f} over {metrics['previous_version/events_scored']:,.0f}"
                " events that came while it was the newest",
            )
        )
    if "answers/events" in metrics:
        oldest, newest = metrics["answers/oldest_version"], metrics["answers/newest_version"]
        versions = f"version {newest:.0f}" if oldest == newest else f"versions {oldest:.0f} to {newest:.0f}"
        rows.append(
            (
                "answers",
                f"{metrics['answers/accuracy']:.3f} right of {metrics['answers/events']:,.0f} that late labels have"
                f" judged, of {versions}",
            )
        )
    return rows
