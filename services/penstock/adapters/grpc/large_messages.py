"""Messages of gRPC of so many parts that to parse them would hold up all other threads for long.

Each part is an object of some hundred bytes, though it may take two bytes of the message. They are counted before.
"""

from collections.abc import Mapping
from typing import Final

from penstock.serving.refusals import BadInputError

MOST_PARTS: Final = 65_536
"""Of a message, or of one of those within it, beside what a request may have of rows."""

Within = Mapping[int, "Within"]
_INPUTS: Final[Within] = {5: {4: {}, 5: {}}}
"""By number the fields that hold many parts: `inputs`, and within each its `parameters` and its `contents`."""
_LONGEST_NUMBER: Final = 10
_VARINT, _EIGHT_BYTES, _COUNTED, _FOUR_BYTES = 0, 1, 2, 5


def check_parts(content: bytes, max_rows: int) -> None:
    """Refuse a `ModelInferRequest` of more parts than a request can have; whatever else is wrong the parser finds.

    Raises:
        BadInputError: it is one.
    """
    try:
        _check(content, 0, len(content), MOST_PARTS + max_rows, _INPUTS)
    except IndexError:
        return  # it ends too early, or is none


def _check(content: bytes, at: int, end: int, most: int, within: Within) -> None:
    num_parts = 0
    while at < end:
        key, at = _number(content, at)
        field, kind = key >> 3, key & 7
        if kind == _VARINT:
            _, at = _number(content, at)
        elif kind == _COUNTED:
            num_parts += 1
            if num_parts > most:
                raise BadInputError(
                    f"The message, or one within it, has more than {most} parts; send fewer rows a request."
                )
            size, at = _number(content, at)
            if field in within:
                _check(content, at, min(at + size, end), most, within[field])
            at += size
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        else:
            return


def _number(content: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    number = 0
    for place in range(_LONGEST_NUMBER):
        number |= (content[at + place] & 0x7F) << 7 * place
        if content[at + place] < 0x80:
            return number, at + place + 1
    raise IndexError("no number ends here")
