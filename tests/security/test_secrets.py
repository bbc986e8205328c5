"""Secrets planted in every place that takes one are found in nothing that Penstock writes."""

from pathlib import Path

import pytest

from configurations import configuration
from penstock.adapters.mlflow.artifacts import ArtifactFetcher
from penstock.errors import PenstockError
from penstock.processes.signing import publishing_keys
from penstock.settings import load, shown

MARK = "PLANTED"
KAFKA = """
"sasl.username" = "somebody"
"sasl.password" = "PLANTED-1"
"ssl.key.password" = "PLANTED-2"
"sasl.oauthbearer.client.secret" = "PLANTED-3"
"sasl.oauthbearer.config" = "secret=PLANTED-4"
"""


def planted(model: str, servers: str, address: str, folder: Path) -> str:
    """A configuration with a secret wherever there is room for one."""
    key = folder / "signing-key"
    key.write_text("PLANTED-5-of-some-length\n")
    uri = address.replace("//", "//PLANTED-6:PLANTED-7@")
    text = configuration(
        model, servers, folder / "state", tracking_uri=uri,
        more=f'[publish]\nsigning_key_file = "{key}"\n',
    )  # fmt: skip
    prefixes = '["mlflow-artifacts:/", "https://PLANTED-8:PLANTED-9@elsewhere/weights"]'
    text = text.replace("[intake]", f"{KAFKA}[intake]", 1)
    return text.replace("[serving]", f'[serving]\nsigning_key_file = "{key}"\nallowed_weights_prefixes = {prefixes}', 1)


def test_neither_representations_nor_sentences_show_them(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    text = planted("m", "127.0.0.1:9", "http://127.0.0.1:9", tmp_path)
    file.write_text(text)
    settings = load(file)
    for what in (repr(settings), repr(settings.mlflow), str(shown(settings))):
        assert MARK not in what.replace(str(tmp_path), "")
    assert shown(settings)["kafka.sasl.password"] == "***"
    for name, content in {
        "a list for a password": text.replace('"PLANTED-1"', "[1]"),
        "another scheme": text.replace("http://PLANTED-6", "ftp://PLANTED-6"),
        "an owned key": text.replace('"sasl.username"', '"acks"'),
    }.items():
        file.write_text(content)
        with pytest.raises(PenstockError) as refused:
            load(file)
        assert MARK not in str(refused.value), name
    (tmp_path / "signing-key").write_text("PLANTED-5")
    with pytest.raises(PenstockError, match="a key has 9 bytes") as refused:
        publishing_keys(settings)
    assert MARK not in str(refused.value)
    with pytest.raises(PenstockError) as refused:
        ArtifactFetcher(settings.mlflow, ["https://PLANTED-8:PLANTED-9@elsewhere/%zz?"])
    assert MARK not in str(refused.value)
