"""What a benchmark reports, and how it is shown."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number with what it must reach; `sense` says on which side of `target` it is good."""

    name: str
    value: float
    unit: str
    target: float | None = None
    sense: Literal["at least", "at most"] = "at least"

    @property
    def is_reached(self) -> bool:
        """True if there is no target or the value is on its good side."""
        if self.target is None:
            return True
        return self.value >= self.target if self.sense == "at least" else self.value <= self.target


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print one benchmark's figures."""
    print(f"\n{title}")
    for figure in figures:
        target = "" if figure.target is None else f"{figure.sense} {figure.target:g}"
        mark = " " if figure.target is None else "✓" if figure.is_reached else "✗"
        print(f"  {mark} {figure.name:<64} {figure.value:>12,.4g} {figure.unit:<10} {target}", flush=True)


def save(path: Path, results: dict[str, list[Figure]]) -> None:
    """Write every figure as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {title: [asdict(figure) for figure in figures] for title, figures in results.items()}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def interleaved(repeats: int, *candidates: Callable[[], float]) -> list[float]:
    """The median of each candidate's own measurements, taken in turn so that drift hits all alike."""
    measured: list[list[float]] = [[] for _ in candidates]
    for _ in range(repeats):
        for values, candidate in zip(measured, candidates, strict=True):
            values.append(candidate())
    return [statistics.median(values) for values in measured]
