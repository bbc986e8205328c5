"""The records of the update topic, to bytes and back."""

import json
from typing import Any

import pytest

from penstock.errors import InvalidEventError
from penstock.flow import Claim, ModelUpdate, Offsets, Withdrawal
from penstock.wire.model_update import decode_record, encode_record

UPDATE = ModelUpdate(
    model="digits",
    version=7,
    epoch=2,
    sha256="ab" * 32,
    size_bytes=3,
    class_ledger_digest="cd" * 32,
    trained_until_ms=1_767_225_600_250,
    announced_at_ms=1_767_225_600_375,
    offsets=Offsets(next={0: 12, 11: 5}),
    metrics={"accuracy": 0.5},
    mlflow_run_id="run",
    inline=b"\x00\x01\xff",
)


def document(**changed: Any) -> bytes:
    """The update as JSON with fields changed; `...` takes a field away."""
    _, value = encode_record(UPDATE, "digits")
    assert value is not None
    fields = json.loads(value) | changed
    return json.dumps({name: field for name, field in fields.items() if field is not ...}).encode()


def test_an_update_reads_as_the_contract_says() -> None:
    key, value = encode_record(UPDATE, "digits")
    assert key == b"digits"
    assert json.loads(value or b"") == {
        "model": "digits",
        "version": 7,
        "epoch": 2,
        "sha256": "ab" * 32,
        "size_bytes": 3,
        "class_ledger_digest": "cd" * 32,
        "weights": {"inline": "AAH/"},
        "trained_until": "2026-01-01T00:00:00.250Z",
        "announced_at": "2026-01-01T00:00:00.375Z",
        "offsets": {"0": 12, "11": 5},
        "metrics": {"accuracy": 0.5},
        "mlflow_run_id": "run",
        "topic_id": None,
    }
    assert decode_record(key, value) == UPDATE


def test_a_claim_and_a_withdrawal_have_keys_of_their_own() -> None:
    claim = Claim(epoch=3, holder="host:1")
    assert encode_record(claim, "digits") == (b"digits#claim", b'{"epoch":3,"holder":"host:1"}')
    assert decode_record(*encode_record(claim, "digits")) == claim
    assert encode_record(Withdrawal(model="digits"), "digits") == (b"digits", None)
    assert decode_record(b"digits", None) == Withdrawal(model="digits")


def test_fields_of_a_later_version_are_ignored() -> None:
    assert decode_record(b"digits", document(gate={"passed": True})) == UPDATE
    assert decode_record(b"m#claim", b'{"epoch":1,"holder":"h","since":0}') == Claim(epoch=1, holder="h")


def test_metrics_that_are_not_finite_are_left_out() -> None:
    update = ModelUpdate(**{**vars(UPDATE), "metrics": {"loss": float("nan"), "accuracy": 1.0}})
    decoded = decode_record(*encode_record(update, "digits"))
    assert isinstance(decoded, ModelUpdate)
    assert decoded.metrics == {"accuracy": 1.0}


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        (None, document(), "The message has no key"),
        (b"", document(), "The message has no key"),
        (b"\xff", document(), "is not UTF-8; it must be the model's name."),
        (b"other", document(), "model is 'digits'; it must be 'other', as the message's key is."),
        (b"digits", b"", "The model update does not decode"),
        (b"digits", b"[]", "Expected `object`, got `array`"),
        (b"digits", document(sha256="AB" * 32), r"\$.sha256"),
        (b"digits", document(sha256="ab" * 32 + "\n"), r"\$.sha256"),
        (b"digits", document(version=0), r"\$.version"),
        (b"digits", document(epoch=1.5), r"\$.epoch"),
        (b"digits", document(size_bytes=-1), r"\$.size_bytes"),
        (b"digits", document(offsets={"x": 1}), r"\$.offsets"),
        (b"digits", document(offsets={"0": -1}), r"\$.offsets"),
        (b"digits", document(metrics={"a": "b"}), r"\$.metrics"),
        (b"digits", document(trained_until=...), "trained_until"),
        (b"digits", document(trained_until="2026-01-01"), r"\$.trained_until"),
        (b"digits", document(trained_until="2026-02-30T00:00:00Z"), "trained_until is '2026-02-30T00:00:00Z'; it must"),
        (b"digits", document(announced_at="0001-01-01T00:00:00+23:59"), "announced_at is '0001-01-01T00:00:00"),
        (b"digits", document(weights={}), "weights must hold either 'inline' or 'uri', and not both."),
        (b"digits", document(weights={"inline": "AA==", "uri": "s3://x"}), "weights must hold either"),
        (b"digits", document(weights={"inline": "A"}), "weights.inline"),
        (b"digits", document(weights={"inline": "AA==\n"}), "weights.inline"),
        (b"digits", document(weights={"inline": "ñ"}), "weights.inline"),
        (b"digits", document(weights={"uri": ""}), r"\$.weights.uri"),
        (b"m#claim", None, "The trainer claim has no value; it must be a JSON object."),
        (b"m#claim", b'{"epoch":0,"holder":"h"}', r"\$.epoch"),
        (b"m#claim", b'{"epoch":1}', "holder"),
    ],
)
def test_a_record_that_is_not_ours_or_not_whole_is_refused_with_a_sentence(
    key: bytes | None, value: bytes | None, sentence: str
) -> None:
    with pytest.raises(InvalidEventError, match=sentence):
        decode_record(key, value)
