"""The tags of a registered model version."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from penstock.adapters.mlflow.live_alias import EPOCH_TAG
from penstock.adapters.mlflow.recovery import CHECKPOINT_TAG, VERSION_TAG
from penstock.adapters.mlflow.run_artifacts import checkpoint_path
from penstock.clock import to_rfc3339
from penstock.flow import AcceptedLoss, ModelUpdate

LOSSES_SHOWN = 20
"""As many, the newest, fit into a tag."""


def version_tags(update: ModelUpdate) -> dict[str, str]:
    """Which weights these are, and how to go on from them."""
    return {
        VERSION_TAG: str(update.version),
        EPOCH_TAG: str(update.epoch),
        "penstock.sha256": update.sha256,
        "penstock.offsets": json.dumps(update.offsets.to_json()),
        "penstock.trained_until": to_rfc3339(update.trained_until_ms),
        CHECKPOINT_TAG: checkpoint_path(update),
    }


def loss_tags(losses: Sequence[AcceptedLoss]) -> dict[str, str]:
    """What these weights have never learnt: the number of events, as far as known, and the newest losses."""
    if not losses:
        return {}
    return {
        "penstock.events_lost": str(sum(loss.num_events or 0 for loss in losses)),
        "penstock.losses": json.dumps([asdict(loss) for loss in losses[-LOSSES_SHOWN:]]),
    }
