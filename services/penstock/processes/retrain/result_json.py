"""What retraining has found, as JSON for `--json`."""

from dataclasses import asdict
from typing import Any

from penstock.learning.comparison import Comparison
from penstock.processes.retrain.publishing import Published
from penstock.processes.retrain.result import Result


def to_json(result: Result, published: Published | None) -> dict[str, Any]:
    """Plain values; `published` is None where the live model stays."""
    found = result.comparison
    return {
        "model": result.model,
        "source": result.source,
        "gone_messages": result.gone_messages,
        "invalid": result.invalid,
        "held_out": {
            "events": result.num_held_out,
            "compared": found.num_events,
            "live_has_learnt": result.live_has_learnt,
        },
        "live": _live(result),
        "fresh": _fresh(result),
        "classes": [asdict(row) for row in found.classes],
        "forgotten_classes": list(result.forgotten),
        "differing": _differing(found),
        "fresh_is_better": found.fresh_is_better,
        "lower_bound": found.lower_bound,
        "reason_against": result.reason_against or None,
        "published": None if published is None else _published(published),
    }


def _live(result: Result) -> dict[str, Any] | None:
    update, scores = result.live, result.comparison.live
    if update is None:
        return None
    return {
        "version": update.version,
        "epoch": update.epoch,
        "problem": result.live_problem or None,
        "events_learnt": update.metrics.get("events_learnt"),
        "classes": result.num_live_classes,
        "accuracy": scores.accuracy if scores else None,
        "log_loss": scores.log_loss if scores else None,
        "prequential_accuracy": update.metrics.get("prequential_accuracy"),
        "prequential_loss": update.metrics.get("prequential_loss"),
    }


def _fresh(result: Result) -> dict[str, Any]:
    scores, report = result.comparison.fresh, result.last_report
    return {
        "seconds": result.seconds,
        "events_learnt": result.events_learnt,
        "classes": result.num_classes,
        "accuracy": scores.accuracy,
        "log_loss": scores.log_loss,
        "prequential_accuracy": report.prequential_accuracy if report else None,
        "prequential_loss": report.prequential_loss if report else None,
    }


def _differing(found: Comparison) -> dict[str, Any]:
    return {
        "events": found.num_differing,
        "live_alone_right": found.live_alone_right,
        "fresh_alone_right": found.fresh_alone_right,
        "examples": [asdict(one) for one in found.examples],
    }


def _published(published: Published) -> dict[str, Any]:
    return {
        "version": published.update.version,
        "epoch": published.update.epoch,
        "offsets": published.update.offsets.to_json(),
        "checkpoint": str(published.handover_folder),
        "recorded": published.is_recorded,
    }
