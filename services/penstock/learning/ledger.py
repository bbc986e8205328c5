"""The class ledger: which output index means which class, append-only, never re-sorted, indices never reused."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from penstock.flow import Json

Int64s = npt.NDArray[np.int64]

ClassState = Literal["live", "hibernated", "retired"]


@dataclass(frozen=True, kw_only=True)
class ClassEntry:
    """One class. `born_offset` is `partition:offset` of its first event; `generation` counts its awakenings."""

    index: int
    name: str
    born_offset: str
    state: ClassState = "live"
    generation: int = 0


class ClassLedger:
    """Entries by index; grows at the end only."""

    def __init__(self, entries: Iterable[ClassEntry] = ()) -> None:
        self._entries: list[ClassEntry] = []
        self._indices: dict[str, int] = {}
        self._names: tuple[str, ...] = ()
        for entry in entries:
            if entry.index != len(self._entries) or entry.name in self._indices:
                raise ValueError(
                    f"class {entry.name!r} stands at place {len(self._entries)} of the ledger with index {entry.index};"
                    " indices must count up from 0 and names must be unique"
                )
            self._add(entry)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> Sequence[ClassEntry]:
        """All entries by index."""
        return self._entries

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by index."""
        if len(self._names) < len(self._entries):
            self._names = tuple(self._indices)
        return self._names

    @property
    def digest(self) -> str:
        """sha256 (hex) of the canonical JSON form."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def look_up(self, labels: Any, partitions: Int64s, offsets: Int64s) -> tuple[Int64s, tuple[str, ...]]:
        """Indices int64 [n] of a pyarrow string array [n]; names not seen before are entered, in order of appearance.

        `partitions` and `offsets` [n] say where each label stands. Returns the indices and the new names.
        """
        encoded = labels.dictionary_encode()
        places = encoded.indices.to_numpy()
        names = encoded.dictionary.to_pylist()
        known = len(self)
        if not self._indices.keys() >= set(names):
            first_rows = np.unique(places, return_index=True)[1]
            for name, row in zip(names, first_rows.tolist(), strict=True):
                if name not in self._indices:
                    self._add(ClassEntry(index=len(self), name=name, born_offset=f"{partitions[row]}:{offsets[row]}"))
        indices: Int64s = np.array([self._indices[name] for name in names], dtype=np.int64)[places]
        return indices, self.names[known:]

    def to_json(self) -> list[Json]:
        """Plain values by index."""
        return [cast(Json, asdict(entry)) for entry in self._entries]

    @classmethod
    def from_json(cls, value: Json) -> "ClassLedger":
        """The inverse of `to_json`.

        Raises:
            ValueError: indices do not count up from 0, a name stands twice, or fields are missing or unknown.
        """
        if not isinstance(value, list):
            raise ValueError(f"a class ledger is a list, not {type(value).__name__}")
        try:
            return cls(ClassEntry(**cast(dict[str, Any], entry)) for entry in value)
        except TypeError as error:
            raise ValueError(f"an entry of the class ledger does not read: {error}") from error

    def _add(self, entry: ClassEntry) -> None:
        self._entries.append(entry)
        self._indices[entry.name] = entry.index
