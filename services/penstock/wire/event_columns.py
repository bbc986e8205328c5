"""Events as every codec hands them to validation: typed columns that may still hold nulls and nonsense."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from penstock.wire.retraction import Target

EVENT_ID = "event_id"
FEATURES = "features"
LABEL = "label"
OCCURRED_AT = "occurred_at"
WEIGHT = "weight"
TENANT = "tenant"
RETRACTS = "retracts"
PREDICTION_ID = "prediction_id"
FIELDS = (EVENT_ID, FEATURES, LABEL, OCCURRED_AT, WEIGHT, TENANT, RETRACTS, PREDICTION_ID)
"""The fields of a labelled event, on the wire."""


class Answer(NamedTuple):
    """What a replica answered: the version of its weights, and the label."""

    version: int
    label: str


@dataclass(frozen=True, kw_only=True)
class EventColumns:
    """n decoded events. Every column is an Arrow array of n values; null where the event has none.

    `event_id`, `label`, `occurred_at`, `tenant`, `prediction_id` are strings in valid UTF-8 and `weight` float64.
    `features` follows the schema: number float64, vector a list or fixed_size_list of float32 or float64, category and
    text string. `retracts` is None where no event retracts another, which is nearly always. `unmatched` says, of rows
    that were to take their features from a prediction, why they have none; `answers`, of those that took them, which
    version answered and what.
    """

    num_rows: int
    event_id: Any
    label: Any
    occurred_at: Any
    weight: Any
    tenant: Any
    prediction_id: Any
    features: tuple[Any, ...]
    retracts: Sequence[Target | None] | None = None
    unmatched: Mapping[int, str] = field(default_factory=dict)
    answers: Mapping[int, Answer] = field(default_factory=dict)
