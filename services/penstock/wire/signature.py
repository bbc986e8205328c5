"""Signed model updates: an HMAC over all of the record, as its last field.

`"signature"` is HMAC-SHA-256, in hexadecimal, over the text `penstock.model-updated`, the record's key and the value
without this field, each followed by a zero byte but the last. It covers the bytes as they are on the topic, so there is
nothing to normalise, and fields that a later release adds are covered like any other.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final

from penstock.errors import RefusedUpdateError

PURPOSE: Final = b"penstock.model-updated"
MIN_KEY_BYTES: Final = 16
SIGNED: Final = re.compile(rb',"signature":"([0-9a-f]{64})"}\Z')


@dataclass(frozen=True)
class SigningKeys:
    """At least one key; the first signs, any of them verifies, so that one can follow another."""

    keys: tuple[bytes, ...] = field(repr=False)

    def signed(self, record_key: bytes, value: bytes) -> bytes:
        """A model update's value, a JSON object with at least one field, with its signature."""
        signature = _signature(self.keys[0], record_key, value).hex().encode()
        return b'%b,"signature":"%b"}' % (value.removesuffix(b"}"), signature)

    def check(self, record_key: bytes, value: bytes) -> None:
        """Return if one of the keys has signed it; compares in constant time.

        Raises:
            RefusedUpdateError: it is not signed, or not by any of the keys.
        """
        found = SIGNED.search(value)
        if found is None:
            raise RefusedUpdateError("signature", "The update is not signed, and serving.signing_key_file is set.")
        given, unsigned = bytes.fromhex(found[1].decode()), value[: found.start()] + b"}"
        matches = [hmac.compare_digest(_signature(key, record_key, unsigned), given) for key in self.keys]
        if not any(matches):
            raise RefusedUpdateError("signature", "No key of serving.signing_key_file has signed this update.")


def parse_keys(content: bytes) -> SigningKeys:
    """The keys of a key file: one a line, any text; blank lines and surrounding blanks do not count.

    Raises:
        ValueError: there is none, or one is too short. The sentence does not repeat it.
    """
    keys = tuple(filter(None, map(bytes.strip, content.splitlines())))
    if not keys:
        raise ValueError("it holds no key")
    if any(len(key) < MIN_KEY_BYTES for key in keys):
        raise ValueError(f"a key has {min(map(len, keys))} bytes; it must have at least {MIN_KEY_BYTES}")
    return SigningKeys(keys)


def _signature(key: bytes, record_key: bytes, value: bytes) -> bytes:
    return hmac.digest(key, b"\0".join((PURPOSE, record_key, value)), hashlib.sha256)
