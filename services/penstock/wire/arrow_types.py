"""From the types that producers write into Arrow columns to those that validation reads, without surprises.

Only types whose values physically stand in the message are read: a column of type null, a view or a run may claim
more numbers in a hundred bytes than a machine can hold. Dictionaries are bounded before they are unfolded.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.features import Feature
from penstock.wire.retraction import PlaceDocument, Target

MAX_TEXT_BYTES: Final = 268_435_456
"""A dictionary column may unfold to this many bytes of text."""

NUMBERS: Final = ("partition", "offset", "row")
PLACE: Final = "structs of topic, partition, offset and row"


class ArrowTypeError(Exception):
    """A column of a type that is not read; the text says `has type …; it must be …`."""


def as_feature(column: Any, feature: Feature) -> Any:
    """The column of a feature: float64, a list or fixed_size_list of floats, or string.

    Raises:
        ArrowTypeError: another type.
    """
    if feature.kind == "vector":
        return as_vectors(column)
    return as_numbers(column) if feature.kind == "number" else as_text(column)


def as_numbers(column: Any) -> Any:
    """Integers and floats as float64; a column of type null as nulls."""
    column = _storage(column)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.float64())
    if not _is_number(column.type):
        raise ArrowTypeError(f"has type {column.type}; it must be of integers or floats")
    return pc.cast(column, pa.float64(), safe=False)


def as_vectors(column: Any) -> Any:
    """Lists, large lists and fixed-size lists of integers or floats, the numbers as float32 or float64."""
    column = _storage(column)
    kind = column.type
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.list_(pa.float32()))
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not _is_number(kind.value_type):
        raise ArrowTypeError(f"has type {kind}; it must be of lists of integers or floats")
    if kind.value_type in (pa.float16(), pa.float32(), pa.float64()):
        return column
    if pa.types.is_fixed_size_list(kind):
        return pc.cast(column, pa.list_(pa.float64(), kind.list_size), safe=False)
    wider = pa.large_list if pa.types.is_large_list(kind) else pa.list_
    return pc.cast(column, wider(pa.float64()), safe=False)


def as_text(column: Any) -> Any:
    """Strings, plain or dictionary-encoded, as string."""
    column = _storage(column)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.string())
    if pa.types.is_dictionary(column.type):
        return _unfolded(column, as_text(column.dictionary))
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise ArrowTypeError(f"has type {column.type}; it must be of strings")
    return pc.cast(column, pa.string())


def as_labels(column: Any) -> Any:
    """Strings, booleans and integers, plain or dictionary-encoded, as string: `true`, `false`, decimal digits."""
    column = _storage(column)
    if pa.types.is_dictionary(column.type):
        return _unfolded(column, as_labels(column.dictionary))
    if pa.types.is_boolean(column.type) or pa.types.is_integer(column.type):
        return pc.cast(column, pa.string())
    try:
        return as_text(column)
    except ArrowTypeError:
        raise ArrowTypeError(f"has type {column.type}; it must be of strings, booleans or integers") from None


def as_instants(column: Any) -> Any:
    """Strings as they are, to be checked; timestamps need no check and give nulls."""
    if pa.types.is_timestamp(column.type):
        return pa.nulls(len(column), pa.string())
    try:
        return as_text(column)
    except ArrowTypeError:
        raise ArrowTypeError(f"has type {column.type}; it must be of RFC 3339 strings or of timestamps") from None


def as_targets(column: Any) -> list[Target | None]:
    """What each event retracts: strings are `event_id`s, structs places in the log."""
    column = _storage(column)
    if not pa.types.is_struct(column.type):
        try:
            values: list[Target | None] = as_text(column).to_pylist()
        except ArrowTypeError:
            raise ArrowTypeError(f"has type {column.type}; it must be of strings or of {PLACE}") from None
        return values
    held = dict(zip((field.name for field in column.type), column.flatten(), strict=True))
    if any(name in held and not pa.types.is_integer(held[name].type) for name in NUMBERS):
        raise ArrowTypeError(f"has type {column.type}; it must be of strings or of {PLACE}")
    nothing = pa.nulls(len(column))
    topics = as_text(held.get("topic", nothing)).to_pylist()
    rows = zip(topics, *(held.get(name, nothing).to_pylist() for name in NUMBERS), strict=True)
    return [
        PlaceDocument(topic=topic, partition=partition, offset=offset, row=row) if is_there else None
        for is_there, (topic, partition, offset, row) in zip(column.is_valid().to_pylist(), rows, strict=True)
    ]


def _unfolded(column: Any, dictionary: Any) -> Any:
    """The dictionary's values in the places of their indices."""
    lengths = pc.fill_null(pc.take(pc.binary_length(dictionary), column.indices), 0)
    if int(np.sum(lengths.to_numpy(), dtype=np.int64)) > MAX_TEXT_BYTES:
        raise ArrowTypeError(f"unfolds to more than {MAX_TEXT_BYTES} bytes of text; write shorter values or fewer rows")
    return pc.take(dictionary, column.indices)


def _storage(column: Any) -> Any:
    """What an extension type (a tensor, a categorical of another library) is stored as."""
    return column.storage if isinstance(column.type, pa.BaseExtensionType) else column


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
