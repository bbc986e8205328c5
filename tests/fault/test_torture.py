"""Every row of docs/reliability.md once, in its short form; `make torture` plays the long one."""

from functools import partial
from pathlib import Path

import pytest

from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka
from torture.fault import Fault
from torture.registry import FAULTS
from torture.workspace import Workspace


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.short_tries], ids=lambda fault: fault.name)
def test_the_line_bears(
    fault: Fault, kafka: LocalKafka, kafka_libs: Path, nursery: Nursery, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for seed in range(fault.short_tries):
        directory = tmp_path / str(seed)
        directory.mkdir()
        workspace = Workspace(
            directory=directory,
            kafka=kafka,
            kafka_libs=kafka_libs,
            mlflow=partial(request.getfixturevalue, "shared_mlflow"),
            nursery=nursery,
            is_long=False,
        )
        fault.play(workspace, seed)


def test_no_two_faults_have_one_name() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
