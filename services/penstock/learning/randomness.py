"""Random numbers for the operator's modules (dropout), apart from torch's global ones and part of every checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class OwnRandomness:
    """The states that torch's global generators have while our modules run, and only then."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._generators = {"cpu": torch.default_generator}
        if device.type == "cuda":
            torch.cuda.init()  # type: ignore[no-untyped-call]  # torch's own gap
            self._generators["cuda"] = torch.cuda.default_generators[device.index or 0]
        self._states = {
            name: torch.Generator(generator.device).manual_seed(seed).get_state()
            for name, generator in self._generators.items()
        }

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within, torch draws from our states; after, from where it was."""
        before = {name: generator.get_state() for name, generator in self._generators.items()}
        for name, generator in self._generators.items():
            generator.set_state(self._states[name])
        try:
            yield
        finally:
            for name, generator in self._generators.items():
                self._states[name] = generator.get_state()
                generator.set_state(before[name])

    def state(self) -> dict[str, Tensor]:
        """uint8 tensors by generator."""
        return dict(self._states)

    def restore(self, states: dict[str, Tensor]) -> None:
        """Take up states; those of devices that are not here are left out."""
        self._states |= {name: state for name, state in states.items() if name in self._generators}
