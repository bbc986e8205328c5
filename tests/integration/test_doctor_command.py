"""What `penstock doctor` says and how it ends, without a line that runs."""

from pathlib import Path

import torch

from configurations import configuration
from nursery import Nursery
from waiting import PATIENCE_SECONDS


def said(config: Path, nursery: Nursery) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and of each line by its name the mark and the sentence."""
    done = nursery.run(["doctor", "--config", str(config)], stdin=b"", timeout_seconds=PATIENCE_SECONDS)
    lines = [[word.strip() for word in line.split("  ") if word] for line in done.stdout.decode().splitlines()]
    return done.returncode, {name: (mark, " ".join(sentence)) for mark, name, *sentence in lines}


def test_a_configuration_that_is_wrong_is_the_only_line_and_fails(tmp_path: Path, nursery: Nursery) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text(configuration("m", "127.0.0.1:9", tmp_path).replace("max_events", "max_event"))
    code, lines = said(file, nursery)
    assert code == 1
    assert lines == {
        "configuration": ("FAIL", "intake.max_event is no configuration key; did you mean 'max_events'?"),
    }


def test_each_thing_that_is_wrong_fails_in_a_line_of_its_own(
    tmp_path: Path, nursery: Nursery, unused_address: str
) -> None:
    file, in_the_way = tmp_path / "penstock.toml", tmp_path / "state"
    in_the_way.write_text("")
    text = configuration("m", unused_address, in_the_way, tracking_uri="sqlite:////proc/penstock/mlflow.db")
    text = text.replace('device = "cpu"', 'device = "cuda"')
    file.write_text(f'{text}\n[publish]\nsigning_key_file = "{tmp_path / "none"}"\n')
    code, lines = said(file, nursery)
    assert code == 1
    assert {name: mark for name, (mark, _) in lines.items()} == {
        "configuration": "ok",
        "kafka": "FAIL",
        "mlflow": "FAIL",
        "state folder": "FAIL",
        "device": "ok" if torch.cuda.is_available() else "FAIL",
        "publishing key": "FAIL",
    }
    for name, named in {
        "kafka": unused_address,
        "mlflow": "/proc/penstock",
        "state folder": f"{in_the_way} is in the way",
        "device": "training.device is 'cuda'",
        "publishing key": "publish.signing_key_file is",
    }.items():
        assert named in lines[name][1]
