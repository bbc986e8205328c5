"""One thread, as trainers run by default: small products are quicker so."""

import pytest

from penstock.learning.device import use_threads


@pytest.fixture(autouse=True)
def one_thread() -> None:
    use_threads(1)
