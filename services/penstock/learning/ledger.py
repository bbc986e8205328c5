"""The class ledger: which output index means which class, append-only, never re-sorted, indices never reused."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from penstock.flow import Json

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

ClassState = Literal["live", "hibernated", "retired"]
HIBERNATED, RETIRED = 1, 2
_CODES: dict[ClassState, int] = {"live": 0, "hibernated": HIBERNATED, "retired": RETIRED}


@dataclass(frozen=True, kw_only=True)
class ClassEntry:
    """One class. `born_offset` is `partition:offset` of its first event; `generation` counts its awakenings.

    `tenant` is the one whose events alone have named the class so far; None once any other event has.
    """

    index: int
    name: str
    born_offset: str
    state: ClassState = "live"
    generation: int = 0
    tenant: str | None = None

    def to_json(self) -> dict[str, Json]:
        """Plain values; a class that is nobody's says nothing of tenants."""
        value: dict[str, Json] = {
            "index": self.index,
            "name": self.name,
            "born_offset": self.born_offset,
            "state": self.state,
            "generation": self.generation,
        }
        return value if self.tenant is None else value | {"tenant": self.tenant}


class ClassLedger:
    """Entries by index; grows at the end only, and what an entry says of state and tenant may change."""

    def __init__(self, entries: Iterable[ClassEntry] = ()) -> None:
        self._entries: list[ClassEntry] = []
        self._indices: dict[str, int] = {}
        self._names: tuple[str, ...] = ()
        self._live: Bools = np.zeros(0, dtype=np.bool_)
        self._digest: str | None = None
        self._num_owned = 0
        for entry in entries:
            if entry.index != len(self._entries) or entry.name in self._indices:
                raise ValueError(
                    f"class {entry.name!r} stands at place {len(self._entries)} of the ledger with index {entry.index};"
                    " indices must count up from 0 and names must be unique"
                )
            if entry.state not in get_args(ClassState):
                raise ValueError(f"class {entry.name!r} has the state {entry.state!r}")
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
    def live(self) -> Bools:
        """[C]: classes that may be answered. Not a copy; a new array whenever a state changes."""
        if len(self._live) < len(self._entries):
            missing = [entry.state == "live" for entry in self._entries[len(self._live) :]]
            self._live = np.concatenate((self._live, np.array(missing, dtype=np.bool_)))
        return self._live

    @property
    def digest(self) -> str:
        """sha256 (hex) of the canonical JSON form."""
        if self._digest is None:
            canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
            self._digest = hashlib.sha256(canonical.encode()).hexdigest()
        return self._digest

    def index_of(self, name: str) -> int | None:
        """The class of this name, if it was ever seen."""
        return self._indices.get(name)

    def state_of(self, name: str) -> ClassState | None:
        """Of the class of this name, if it was ever seen."""
        index = self._indices.get(name)
        return None if index is None else self._entries[index].state

    def of_tenant(self, tenant: str, state: ClassState) -> tuple[int, ...]:
        """Classes in this state that no events but this tenant's have named."""
        return tuple(each.index for each in self._entries if each.tenant == tenant and each.state == state)

    def look_up(
        self, labels: Any, partitions: Int64s, offsets: Int64s, tenants: Any | None = None
    ) -> tuple[Int64s, tuple[str, ...]]:
        """Indices int64 [n] of a pyarrow string array [n]; names not seen before are entered, in order of appearance.

        `partitions` and `offsets` [n] say where each label stands, `tenants` (pyarrow strings [n] or None) whose each
        is. Returns the indices and the new names.
        """
        names = labels.to_pylist()  # at these sizes quicker than encoding them outside of Python
        known = len(self)
        try:
            indices = self._indices_of(names)
        except KeyError:
            self._enter_new(names, partitions, offsets, tenants)
            indices = self._indices_of(names)
        if self._num_owned:
            self._share(indices, np.unique(indices), tenants)
        return indices, self.names[known:]

    def _indices_of(self, names: list[str]) -> Int64s:
        return np.fromiter(map(self._indices.__getitem__, names), np.int64, len(names))

    def _enter_new(self, names: list[str], partitions: Int64s, offsets: Int64s, tenants: Any | None) -> None:
        for row, name in enumerate(names):
            if name not in self._indices:
                tenant = None if tenants is None else tenants[row].as_py() or None
                born_offset = f"{partitions[row]}:{offsets[row]}"
                self._add(ClassEntry(index=len(self), name=name, born_offset=born_offset, tenant=tenant))

    def states_of(self, labels: Any) -> npt.NDArray[np.int8]:
        """[n] for a pyarrow string array [n]: 0 live or not seen before, 1 hibernated, 2 retired."""
        encoded = labels.dictionary_encode()
        codes = [
            _CODES[self._entries[index].state] if (index := self._indices.get(name)) is not None else 0
            for name in encoded.dictionary.to_pylist()
        ]
        states: npt.NDArray[np.int8] = np.array(codes, dtype=np.int8)[encoded.indices.to_numpy()]
        return states

    def enter(self, name: str, born_offset: str, *, tenant: str | None = None) -> int:
        """A class of a name not seen before, known otherwise than by an event. Returns its index."""
        if name in self._indices:
            raise ValueError(f"class {name!r} is in the ledger already")
        self._add(ClassEntry(index=len(self), name=name, born_offset=born_offset, tenant=tenant))
        return len(self) - 1

    def change(self, index: int, state: ClassState, *, awakened: bool = False) -> None:
        """Give a class another state; `awakened` begins another generation.

        Raises:
            ValueError: the class is retired, which is for good.
        """
        entry = self._entries[index]
        if entry.state == "retired" and state != "retired":
            raise ValueError(f"class {entry.name!r} is retired, which is for good")
        self._put(replace(entry, state=state, generation=entry.generation + awakened))

    def to_json(self) -> list[Json]:
        """Plain values by index."""
        return [entry.to_json() for entry in self._entries]

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

    def _share(self, indices: Int64s, touched: Int64s, tenants: Any | None) -> None:
        """A class that an event of another tenant or of none has named is no longer its tenant's alone."""
        owned = [index for index in touched.tolist() if self._entries[index].tenant is not None]
        if not owned:
            return
        users: dict[int, set[str | None]] = {index: set() for index in touched.tolist()}
        if tenants is not None:
            encoded = tenants.dictionary_encode()
            whose = encoded.indices.fill_null(-1).to_numpy()
            names = [*encoded.dictionary.to_pylist(), None]
            for index, place in np.unique(np.stack((indices, whose)), axis=1).T.tolist():
                users[index].add(names[place] or None)
        for index in owned:
            if users[index] != {self._entries[index].tenant}:
                self._put(replace(self._entries[index], tenant=None))
                self._num_owned -= 1

    def _add(self, entry: ClassEntry) -> None:
        self._entries.append(entry)
        self._indices[entry.name] = entry.index
        self._num_owned += entry.tenant is not None
        self._digest = None

    def _put(self, entry: ClassEntry) -> None:
        self._entries[entry.index] = entry
        self._live, self._digest = self._live[:0], None
