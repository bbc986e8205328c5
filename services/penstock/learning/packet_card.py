"""What a packet says of itself: a JSON object in the header of the file, whose values have the kinds they must have."""

import json
from typing import Any

from penstock.errors import InvalidEventError
from penstock.learning.encoder import EncoderConstants
from penstock.wire.invalid import shown

METADATA_KEY = "penstock.packet"

_HEADER_LENGTH_BYTES = 8


class Card:
    """Reads one value after the other; each raises `InvalidEventError` where it is missing or of another kind."""

    def __init__(self, content: bytes) -> None:
        """Of a safetensors file; raises `InvalidEventError` where it is no packet's."""
        length = int.from_bytes(content[:_HEADER_LENGTH_BYTES], "little")
        try:
            header = json.loads(content[_HEADER_LENGTH_BYTES : _HEADER_LENGTH_BYTES + length])
            values = json.loads(header["__metadata__"][METADATA_KEY])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise refused("The bytes are not a packet of a class.") from error
        if not isinstance(values, dict):
            raise refused("What the packet says of itself is not an object.")
        self._values: dict[str, Any] = values

    def format(self) -> object:
        """Of which release it is."""
        return self._values.get("format")

    def text(self, name: str) -> str:
        """A string."""
        value = self._value(name)
        if not isinstance(value, str):
            raise unfit(name, value, "a string")
        return value

    def text_or_none(self, name: str) -> str | None:
        """A string, or null."""
        return None if self._value(name) is None else self.text(name)

    def whole(self, name: str) -> int:
        """A whole number of any size."""
        value = self._value(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise unfit(name, value, "a whole number")
        return value

    def scales(self, name: str) -> dict[str, tuple[float, float]]:
        """Two numbers by column."""
        value = self._value(name)
        try:
            return {column: (_number(zero), _number(one)) for column, (zero, one) in value.items()}
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise unfit(name, value, "two numbers by column") from error

    def encoder(self, name: str) -> EncoderConstants:
        """What an encoder was fitted to."""
        value = self._value(name)
        try:
            return EncoderConstants.from_json(value)
        except ValueError as error:
            raise unfit(name, value, "origins and scales, each with numbers by column") from error

    def _value(self, name: str) -> Any:
        if name not in self._values:
            raise refused(f"The packet is not whole: {name} is missing.")
        return self._values[name]


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    return float(value)


def unfit(name: str, value: object, allowed: str) -> InvalidEventError:
    """What is said of a value that a packet must not have."""
    return refused(f"{name} of the packet is {shown(value)}; it must be {allowed}.")


def refused(sentence: str) -> InvalidEventError:
    """What is said of a packet that is of no use."""
    return InvalidEventError("control", sentence)
