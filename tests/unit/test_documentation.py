"""What the README and the pages name exists: files, commands, metrics."""

import re
from pathlib import Path

import pytest

from penstock.learning.warm_up import warm_up
from penstock.processes.cli import commands
from penstock.settings import load
from penstock.telemetry import METRICS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_named_exists(page: Path) -> None:
    package = ROOT / "services" / "penstock"
    for path in re.findall(r"`([\w/*.]+/[\w/*.]*)`", page.read_text(encoding="utf-8")):
        if path.startswith(("application/", "demo/", "metrics/", "bench/", "build/")):
            continue
        assert list(ROOT.glob(path.rstrip("/"))) or list(package.glob(path.rstrip("/"))), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_named_exists(page: Path) -> None:
    for name in re.findall(r"`?penstock ([a-z][a-z-]+)", "\n".join(code(page))):
        assert name in commands.commands, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_metric_named_exists(page: Path) -> None:
    names = {metric.name for metric in METRICS}
    assert set(re.findall(r"penstock_[a-z_]+", page.read_text(encoding="utf-8"))) <= names


def test_a_trainer_starts_with_the_configuration_of_the_quick_start(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGES[0].read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "penstock.toml"
    file.write_text(example, encoding="utf-8")
    settings = load(file, {})
    warm_up(settings.model, settings.training)


def code(page: Path) -> list[str]:
    """Inline code and code blocks."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    return blocks + re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
