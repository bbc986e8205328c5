"""What `penstock classes export` and `import` say of packets that no model takes in."""

import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from controlled_streams import Told, every
from packet_cards import saying
from penstock.errors import ConfigurationError
from penstock.learning.packet_check import MOST_BYTES
from penstock.processes.classes import carrying_out
from penstock.settings import Settings

SETTINGS = cast(Settings, SimpleNamespace(model=SimpleNamespace(name="shop")))


@pytest.mark.parametrize(("size", "warns"), [(MOST_BYTES, False), (MOST_BYTES + 1, True)])
def test_export_says_that_a_packet_is_too_large_to_be_taken_in(
    size: int, warns: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def learner_of(settings: Settings) -> SimpleNamespace:
        return SimpleNamespace(packet_of=lambda name: bytes(size))

    monkeypatch.setattr(carrying_out, "_learner_of", learner_of)
    file = tmp_path / "a.safetensors"
    assert carrying_out.export(SETTINGS, "a", file) == 0
    assert file.stat().st_size == size
    said = capsys.readouterr().err
    assert ("no model can take it in" in said and "655,360 bytes" in said) == warns


def test_import_says_what_is_wrong_with_a_packet(tmp_path: Path) -> None:
    told = Told()
    told.events(every([0, 1], 20), seed=1)
    file = tmp_path / "a.safetensors"
    content = told.learner.packet_of("c0")
    for wrong, sentence in (
        (b"no packet", "The bytes are not a packet of a class."),
        (saying(content, {"index": math.inf}), "index of the packet is inf; it must be a whole number."),
    ):
        file.write_bytes(wrong)
        with pytest.raises(ConfigurationError, match=re.escape(f"{file}: {sentence}")):
            carrying_out.import_packet(SETTINGS, file, name=None, wait=False, timeout_seconds=1)
