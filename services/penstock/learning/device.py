"""Where tensors live and how many threads work on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import scipy.linalg.blas  # noqa: F401 - it has a BLAS of its own, whose threads are set only once it is loaded
import torch
from threadpoolctl import threadpool_limits

from penstock.errors import ConfigurationError

CPU = torch.device("cpu")


def choose_device(wanted: Literal["auto", "cpu", "cuda"], key: str = "training.device") -> torch.device:
    """`auto` takes CUDA where it is found; `key` is where it was asked for.

    Raises:
        ConfigurationError: CUDA is asked for and there is none.
    """
    found = wanted != "cpu" and torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise ConfigurationError(
            f"{key} is 'cuda' but torch finds no CUDA device; set 'auto' or 'cpu', or make a GPU visible."
        )
    return torch.device("cuda") if found else torch.device("cpu")


def begin_computing(device: torch.device = CPU) -> None:
    """First thing on every other thread that computes.

    OpenMP keeps its number of threads by the thread that asks, so that of `use_threads` is not this one's yet. On a
    GPU what is asked for from now on waits for no other thread's work, such as a model being built.
    """
    torch.set_num_threads(torch.get_num_threads())
    if device.type == "cuda":
        torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]  # torch leaves it so


def use_threads(num_threads: int) -> None:
    """Set the number of CPU threads of torch, and of NumPy's and SciPy's BLAS; roots call it once, at start.

    Other threads take it up by `begin_computing`. How many threads share a product decides its last bits, so this is
    part of what a digest of weights depends on.
    """
    torch.set_num_threads(num_threads)
    threadpool_limits(num_threads, user_api="blas")


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Numbers below the normal range are zero on this thread meanwhile, where the processor can do so.

    Once a model has converged its gradients get that small, and each operation on such a number takes a hundred times
    as long; a step took twice its time.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
