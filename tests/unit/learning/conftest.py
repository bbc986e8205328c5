"""One torch thread, as trainers run by default: small products are quicker so."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_torch_thread() -> None:
    torch.set_num_threads(1)
