"""How many threads torch works with on whichever thread asks."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_info


def num_computing_threads() -> int:
    """Of this thread, as torch's own OpenMP has it, which its products go by; other libraries bring theirs."""
    of_torch = [pool for pool in threadpool_info() if pool["user_api"] == "openmp" and "torch" in pool["filepath"]]
    (count,) = [int(pool["num_threads"]) for pool in of_torch]
    return count


@contextmanager
def computing_threads(count: int) -> Iterator[None]:
    """A number that no thread has by itself; as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
