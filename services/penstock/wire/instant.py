"""The form of an instant on the wire, as one pattern that JSON Schema, RE2 and Python all read alike."""

from typing import Final

RFC3339: Final = (
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)([.][0-9]{1,9})?"
    "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
"""RFC 3339, with a zone and at most nanoseconds; days are not counted by month."""
