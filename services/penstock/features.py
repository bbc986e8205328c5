"""The columns a model reads, as the operator configured them: shared by codecs, encoder and replicas."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

from penstock.errors import ConfigurationError

FeatureKind = Literal["number", "vector", "category", "text"]

DEFAULT_BUCKETS: dict[str, int] = {"category": 32, "text": 512}


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One named column.

    `width` is the length of a vector; `buckets` the width of the signed hashing table of a category or text column.
    """

    name: str
    kind: FeatureKind
    width: int | None = None
    buckets: int | None = None

    def __post_init__(self) -> None:
        where = f"model.features {self.name!r}"
        if not self.name:
            raise ConfigurationError("model.features: a feature's name is empty; give it the name it has in events.")
        if self.kind == "vector" and (self.width is None or self.width < 1):
            raise ConfigurationError(f"{where}: width is {self.width}; a vector needs a width of at least 1.")
        if self.kind != "vector" and self.width is not None:
            raise ConfigurationError(f"{where}: width is for kind 'vector' only, not for {self.kind!r}.")
        if self.buckets is not None and (self.kind not in DEFAULT_BUCKETS or self.buckets < 2):
            raise ConfigurationError(
                f"{where}: buckets is {self.buckets}; it is for kinds 'category' and 'text', at least 2."
            )

    @property
    def dense_width(self) -> int:
        """How many float32 columns of the dense input this feature fills."""
        if self.kind == "number":
            return 1
        if self.kind == "vector":
            assert self.width is not None  # checked in __post_init__
            return self.width
        return self.buckets or DEFAULT_BUCKETS[self.kind]


@dataclass(frozen=True, kw_only=True)
class FeatureSchema:
    """All columns in configured order; two schemas are the same if their digests are."""

    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        if not names:
            raise ConfigurationError("model.features is empty; configure at least one feature.")
        for name in names:
            if names.count(name) > 1:
                raise ConfigurationError(f"model.features: the name {name!r} is given twice; names must be unique.")

    def __iter__(self) -> Iterator[Feature]:
        return iter(self.features)

    def to_json(self) -> list[dict[str, object]]:
        """Plain values, defaults filled in."""
        return [
            {key: value for key, value in asdict(feature).items() if value is not None}
            | ({"buckets": feature.dense_width} if feature.kind in DEFAULT_BUCKETS else {})
            for feature in self.features
        ]

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of the canonical JSON form."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
