"""docs/configuration.md names every key there is, and no other."""

import re
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path

from penstock.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")


def documented() -> set[str]:
    """`section.key` of every table row."""
    found: set[str] = set()
    section = ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            section = re.findall(r"`\[(\w+)\]`", line)[0]
        elif line.startswith("| `"):
            for key in re.findall(r"`([\w.]+)`", line.split("|")[1]):
                found.add(key if key.split(".")[0] in ("telemetry", "state") else f"{section}.{key}")
    return found


def existing(owner: type, prefix: str = "") -> set[str]:
    """`section.key` of every field of the settings."""
    hints = typing.get_type_hints(owner)
    found: set[str] = set()
    for entry in fields(owner):
        if entry.name == "kafka":
            continue
        kind = hints[entry.name]
        if is_dataclass(kind):
            found |= existing(typing.cast(type, kind), f"{prefix}{entry.name}.")
        else:
            found.add(prefix + entry.name)
    return found


def test_the_page_and_the_settings_name_the_same_keys() -> None:
    assert documented() == existing(Settings)
