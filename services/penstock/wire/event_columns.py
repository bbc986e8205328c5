"""Events as every codec hands them to validation: typed columns that may still hold nulls and nonsense."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.wire.retraction import Target

EVENT_ID = "event_id"
FEATURES = "features"
LABEL = "label"
OCCURRED_AT = "occurred_at"
WEIGHT = "weight"
TENANT = "tenant"
RETRACTS = "retracts"
FIELDS = (EVENT_ID, FEATURES, LABEL, OCCURRED_AT, WEIGHT, TENANT, RETRACTS)
"""The fields of a labelled event, on the wire."""


@dataclass(frozen=True, kw_only=True)
class EventColumns:
    """n decoded events. Every column is an Arrow array of n values; null where the event has none.

    `event_id`, `label`, `occurred_at`, `tenant` are strings in valid UTF-8 and `weight` float64. `features` follows
    the schema: number float64, vector a list or fixed_size_list of float32 or float64, category and text string.
    `retracts` is None where no event retracts another, which is nearly always.
    """

    num_rows: int
    event_id: Any
    label: Any
    occurred_at: Any
    weight: Any
    tenant: Any
    features: tuple[Any, ...]
    retracts: Sequence[Target | None] | None = None
