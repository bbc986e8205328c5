"""A signed update is taken as it is on the topic and not otherwise."""

import hashlib
import hmac
import json

import pytest

from json_schemas import validator
from penstock.errors import RefusedUpdateError
from penstock.wire.model_update import decode_record, encode_record
from penstock.wire.signature import SigningKeys, parse_keys
from update_records import update_of

OLD, NEW, OTHER = b"the-key-of-last-year", b"the-key-of-this-year", b"somebody-else's-key"
KEYS = SigningKeys((NEW, OLD))


def encoded() -> tuple[bytes, bytes]:
    key, value = encode_record(update_of("digits", version=7), "digits")
    assert value is not None
    return key, value


def test_a_signature_is_what_any_language_can_make_and_the_update_reads_as_before() -> None:
    key, value = encoded()
    signed = KEYS.signed(key, value)
    document = json.loads(signed)
    assert list(document)[-1] == "signature"
    covered = b"penstock.model-updated\0digits\0" + value
    assert document["signature"] == hmac.new(NEW, covered, hashlib.sha256).hexdigest()
    assert decode_record(key, signed) == decode_record(key, value)
    validator("model-updated").validate(document)


def test_any_of_the_keys_verifies_so_that_one_can_follow_another() -> None:
    key, value = encoded()
    KEYS.check(key, SigningKeys((OLD,)).signed(key, value))
    KEYS.check(key, SigningKeys((NEW, OTHER)).signed(key, value))


def test_not_signed_by_another_key_or_under_another_model_it_is_refused() -> None:
    key, value = encoded()
    with pytest.raises(RefusedUpdateError, match="is not signed"):
        KEYS.check(key, value)
    for value_, key_ in ((SigningKeys((OTHER,)).signed(key, value), key), (KEYS.signed(key, value), b"letters")):
        with pytest.raises(RefusedUpdateError, match=r"No key of serving\.signing_key_file has signed") as refused:
            KEYS.check(key_, value_)
        assert refused.value.reason == "signature"


def test_no_byte_of_it_can_be_changed_and_nothing_be_added_before_or_behind_the_signature() -> None:
    key, value = encoded()
    signed = KEYS.signed(key, value)
    changed = [signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :] for at in range(len(signed))]
    added = [
        signed[:-1] + b',"version":9}',
        signed.replace(b',"signature"', b',"version":9,"signature"'),
        signed + b" ",
        signed + b"\n",
        KEYS.signed(key, signed)[:-1],
        b" " + signed,
    ]
    for forged in changed + added:
        with pytest.raises(RefusedUpdateError):
            KEYS.check(key, forged)


def test_a_key_file_holds_keys_of_some_length_and_no_sentence_or_repr_repeats_them() -> None:
    assert parse_keys(b"\n  " + NEW + b" \r\n\n" + OLD).keys == (NEW, OLD)
    with pytest.raises(ValueError, match="it holds no key"):
        parse_keys(b" \n")
    with pytest.raises(ValueError, match="a key has 9 bytes; it must have at least 16") as refused:
        parse_keys(NEW + b"\nhush-hush")
    assert "hush" not in str(refused.value)
    assert NEW.decode() not in repr(KEYS)
