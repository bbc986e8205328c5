"""`penstock serve --processes 2`: one port, one scrape, one end; a killed process is started again."""

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
from prometheus_client.parser import text_string_to_metric_families

from line import Line, Process, ask, line, served_version
from penstock.adapters.kafka.embedded import EmbeddedBroker
from replica_configuration import replica_configuration
from served_models import PIXELS, update_of
from update_records import write_as_another
from waiting import wait_for

MODEL = PIXELS.name
QUESTION = {"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}]}


def configuration(broker: EmbeddedBroker, folder: Path) -> str:
    return replica_configuration(PIXELS, broker.bootstrap_servers, folder / "state", serving="processes = 2")


@pytest.fixture
def group(tmp_path: Path) -> Iterator[tuple[Line, EmbeddedBroker]]:
    with EmbeddedBroker() as broker:
        broker.create_topic(f"{MODEL}.updates", 1)
        text = configuration(broker, tmp_path)
        with line(tmp_path, broker.bootstrap_servers, MODEL, text) as started:
            yield started, broker


def serving_numbers(url: str) -> dict[str, float]:
    """The version that each process of the group serves, by one scrape."""
    with urlopen(f"{url}/metrics", timeout=60) as response:
        families = {family.name: family for family in text_string_to_metric_families(response.read().decode())}
    return {sample.labels["process"]: sample.value for sample in families["penstock_model_version"].samples}


def answered_requests(url: str) -> dict[str, float]:
    with urlopen(f"{url}/metrics", timeout=60) as response:
        families = {family.name: family for family in text_string_to_metric_families(response.read().decode())}
    samples = families["penstock_requests"].samples
    return {sample.labels["process"]: sample.value for sample in samples if sample.labels["code"] == "200"}


def listening(replica: Process) -> list[str]:
    return [str(record["url"]) for record in replica.records() if record.get("event") == "listening"]


def test_processes_share_a_port_and_a_scrape_and_end_together(group: tuple[Line, EmbeddedBroker]) -> None:
    running, broker = group
    write_as_another(broker.bootstrap_servers, MODEL, update_of(1))
    replica = running.start("serve", "--port", "0", "--grpc-port", "0")
    wait_for(lambda: len(listening(replica)) == 2, "both listen")
    (url,) = set(listening(replica))
    wait_for(lambda: serving_numbers(url) == {"0": 1, "1": 1}, "both serve version 1")

    for _ in range(60):  # each over a connection of its own, which the kernel gives to either
        assert ask(f"{url}/v2/models/{MODEL}/infer", QUESTION)[0] == 200
    assert sum(answered_requests(url).values()) == 60
    assert set(answered_requests(url)) == {"0", "1"}
    said = replica.says("listening")
    assert said is not None
    with triton.InferenceServerClient(f"127.0.0.1:{said['grpc_port']}") as client:
        tensor = triton.InferInput("pixels", [1, 64], "FP32").set_data_from_numpy(np.zeros((1, 64), dtype=np.float32))
        assert client.infer(MODEL, [tensor]).get_response().model_version == "1"

    port = url.rsplit(":", 1)[1]
    crowded_out = running.run("serve", "--port", port)
    assert crowded_out.returncode == 1
    assert f"serving.port is {port}".encode() in crowded_out.stderr

    first, second = psutil.Process(replica.pid).children()
    second.kill()
    wait_for(lambda: replica.says("a replica process was killed; starting it again"), "it is missed")
    for _ in range(20):  # the other goes on
        assert ask(f"{url}/v2/models/{MODEL}/infer", QUESTION)[0] == 200
    write_as_another(broker.bootstrap_servers, MODEL, update_of(2))
    wait_for(lambda: serving_numbers(url) == {"0": 2, "1": 2}, "both serve version 2")
    assert served_version(url, MODEL) == 2

    began = time.monotonic()
    assert replica.stop() == 0
    assert time.monotonic() - began < 5
    assert not first.is_running()
    assert "Traceback" not in replica.text()


def test_no_process_outlives_the_one_that_started_it(group: tuple[Line, EmbeddedBroker]) -> None:
    running, _ = group
    replica = running.start("serve", "--port", "0")
    wait_for(lambda: listening(replica), "the first listens")
    assert ask(f"{listening(replica)[0]}/v2/health/live")[0] == 200
    assert ask(f"{listening(replica)[0]}/v2/health/ready")[0] == 503
    children = psutil.Process(replica.pid).children()
    assert len(children) == 2
    replica.kill()
    assert psutil.wait_procs(children, timeout=60)[1] == []


def test_where_one_cannot_serve_all_end_with_its_sentence(tmp_path: Path) -> None:
    with EmbeddedBroker() as broker:
        broker.create_topic(f"{MODEL}.updates", 2)
        text = configuration(broker, tmp_path)
        with line(tmp_path, broker.bootstrap_servers, MODEL, text) as running:
            replica = running.start("serve", "--port", "0")
            assert replica.wait() == 1
            assert "2 partitions" in replica.text()
            assert replica.says("a replica process cannot serve; stopping the others")
            assert "Traceback" not in replica.text()
