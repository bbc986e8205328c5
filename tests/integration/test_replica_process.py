"""A replica as its own process on a broker: what it says, when it is ready, and how it ends."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton

from embedded_brokers import RunningBroker, embedded_broker_process
from golden import probabilities_by_torch
from line import Line, Process, ask, line, served_version
from penstock.flow import Claim, Withdrawal
from replica_configuration import replica_configuration
from served_models import PIXELS, corrupt, update_of
from update_records import write_as_another
from waiting import wait_for

MODEL = PIXELS.name
END_SECONDS = 9.0
"""Below `serving.grace_seconds`, which nobody makes use of here."""
SAID_WHERE_BUSY = ("update topic away; what is served stays", "update topic back")
"""The broker, if it has not answered within two seconds."""
ROW = np.random.default_rng(3).normal(size=(1, 64)).astype(np.float32)
QUESTION = {
    "inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": ROW.ravel().tolist()}],
    "outputs": [{"name": "probabilities"}],
}


def configuration(bootstrap_servers: str, folder: Path) -> str:
    return replica_configuration(PIXELS, bootstrap_servers, folder / "state", kafka='"ssl.key.password" = "hunter2"')


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    """Of its own for each test, since the model's name is always the same."""
    with embedded_broker_process() as running:
        running.create_topic(f"{MODEL}.updates", 1)
        yield running


@pytest.fixture
def running(broker: RunningBroker, tmp_path: Path) -> Iterator[Line]:
    text = configuration(broker.bootstrap_servers, tmp_path)
    with line(tmp_path, broker.bootstrap_servers, MODEL, text) as started:
        yield started


def wait_for_version(url: str, version: int) -> None:
    wait_for(lambda: served_version(url, MODEL) == version, f"version {version} is served", every_seconds=0.02)


def ended(process: Process, number: int) -> float:
    """Seconds from the signal to the end, which must be a good one."""
    began = time.monotonic()
    process._process.send_signal(number)
    assert process.wait() == 0, process.text()
    assert "Traceback" not in process.text()
    return time.monotonic() - began


def test_a_replica_answers_says_little_and_ends_at_once(running: Line, broker: RunningBroker) -> None:
    write_as_another(broker.bootstrap_servers, MODEL, Claim(epoch=1, holder="a"), *(update_of(v) for v in (1, 2, 3)))
    replica, url = running.start_replica()
    wait_for_version(url, 3)
    assert replica.says("ready") is not None
    status, answer = ask(f"{url}/v2/models/{MODEL}/infer", QUESTION)
    assert status == 200
    assert answer["parameters"]["sha256"] == update_of(3).sha256
    expected = probabilities_by_torch(update_of(3), ROW).numpy()
    np.testing.assert_allclose([answer["outputs"][0]["data"]], expected, rtol=0, atol=1e-6)
    assert ask(f"{url}/v2/models/{MODEL}/infer", {"inputs": []})[0] == 400
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))):  # an idle client holds nothing up
        assert ended(replica, signal.SIGTERM) < END_SECONDS
    assert "hunter2" not in replica.text()
    said = [record["event"] for record in replica.records() if record["event"] not in SAID_WHERE_BUSY]
    assert [said[0], set(said[1:3]), *said[3:]] == [
        "replica starting",
        {"listening", "ready"},
        "replica stopping",
        "replica stopped",
    ]
    assert len(replica.records()) == len(replica.text().splitlines())


def test_a_replica_follows_updates_and_keeps_to_the_rules_of_the_log(running: Line, broker: RunningBroker) -> None:
    replica, url = running.start_replica()
    assert ask(f"{url}/v2/health/live")[0] == 200
    assert ask(f"{url}/v2/health/ready")[0] == 503
    assert ask(f"{url}/v2/models/{MODEL}/infer", QUESTION)[0] == 503

    def write(*records: object) -> None:
        write_as_another(broker.bootstrap_servers, MODEL, *records)  # type: ignore[arg-type]  # records of the log

    write(Claim(epoch=1, holder="a"), update_of(1))
    wait_for_version(url, 1)
    assert ask(f"{url}/v2/health/ready")[0] == 200
    write(update_of(2))
    wait_for_version(url, 2)
    write(corrupt(update_of(3)))
    wait_for(lambda: replica.says("update refused"), "the bad update is refused")
    assert served_version(url, MODEL) == 2
    write(Claim(epoch=2, holder="b"), update_of(4, epoch=1), update_of(5, epoch=2))
    wait_for_version(url, 5)
    dropped = replica.says("update dropped")
    assert dropped is not None
    assert dropped["reason"] == "fenced"
    write(Withdrawal(model=MODEL))
    wait_for(lambda: ask(f"{url}/v2/models/{MODEL}")[1]["parameters"]["withdrawn"], "it is flagged")
    assert ask(f"{url}/v2/models/{MODEL}/infer", QUESTION)[0] == 200
    write(update_of(6, epoch=2))
    wait_for_version(url, 6)
    assert ask(f"{url}/v2/models/{MODEL}")[1]["parameters"]["withdrawn"] is False
    assert ended(replica, signal.SIGINT) < END_SECONDS


def test_the_process_that_reads_the_topic_may_be_killed_and_ends_with_the_replica(
    running: Line, broker: RunningBroker
) -> None:
    write_as_another(broker.bootstrap_servers, MODEL, Claim(epoch=1, holder="a"), update_of(1))
    replica, url = running.start_replica()
    wait_for_version(url, 1)
    (reading,) = psutil.Process(replica.pid).children()
    reading.kill()
    assert ask(f"{url}/v2/models/{MODEL}/infer", QUESTION)[0] == 200
    write_as_another(broker.bootstrap_servers, MODEL, update_of(2))
    wait_for_version(url, 2)
    assert ask(f"{url}/v2/models/{MODEL}/infer", QUESTION)[0] == 200
    said = replica.says("the process that reads the update topic ended; starting it again")
    assert said is not None
    assert said["how"] == "by signal 9"
    (reading_on,) = psutil.Process(replica.pid).children()
    assert ended(replica, signal.SIGTERM) < END_SECONDS
    assert not reading_on.is_running()


def test_a_replica_without_a_broker_says_so_waits_and_ends_on_a_signal(tmp_path: Path, unused_address: str) -> None:
    text = configuration(unused_address, tmp_path)
    with line(tmp_path, unused_address, MODEL, text) as running:
        replica, url = running.start_replica()
        said = wait_for(lambda: replica.says("update topic away; what is served stays"), "it says so")
        assert said is not None
        assert unused_address in str(said["reason"])
        assert ask(f"{url}/v2/health/live")[0] == 200
        assert ask(f"{url}/v2/health/ready")[0] == 503
        assert ended(replica, signal.SIGTERM) < END_SECONDS


def test_no_request_fails_while_the_replica_ends(running: Line, broker: RunningBroker) -> None:
    write_as_another(broker.bootstrap_servers, MODEL, update_of(1))
    replica, url = running.start_replica()
    wait_for_version(url, 1)
    statuses: list[int] = []

    def ask_on() -> None:
        while not statuses or statuses[-1] == 200:
            statuses.append(ask(f"{url}/v2/models/{MODEL}/infer", QUESTION)[0])

    asking = threading.Thread(target=ask_on)
    asking.start()
    wait_for(lambda: len(statuses) > 20, "requests are answered")
    assert ended(replica, signal.SIGTERM) < END_SECONDS
    asking.join(60)
    assert set(statuses[:-1]) == {200}
    assert statuses[-1] == 0  # nobody listens any more


def test_a_replica_that_can_never_serve_ends_with_a_sentence(tmp_path: Path) -> None:
    with embedded_broker_process() as broker, socket.create_server(("127.0.0.1", 0)) as held:
        broker.create_topic(f"{MODEL}.updates", 2)
        port = held.getsockname()[1]
        text = configuration(broker.bootstrap_servers, tmp_path)
        with line(tmp_path, broker.bootstrap_servers, MODEL, text) as running:
            misled = running.start("serve", "--port", "0")
            crowded_out = running.start("serve", "--port", str(port))
            without_grpc = running.start("serve", "--port", "0", "--grpc-port", str(port))
            for replica, sentence in (
                (misled, "2 partitions"),
                (crowded_out, f"serving.port is {port}"),
                (without_grpc, f"serving.grpc_port is {port}"),
            ):
                assert replica.wait() == 1
                assert sentence in replica.text()
                assert "Traceback" not in replica.text()


def test_a_replica_answers_over_grpc_and_asks_mlflow_for_old_versions_where_it_is_told_to(
    running: Line, broker: RunningBroker, unused_address: str
) -> None:
    write_as_another(broker.bootstrap_servers, MODEL, update_of(1))
    replica = running.start(
        "serve",
        "--port",
        "0",
        "--grpc-port",
        "0",
        environ={
            "PENSTOCK_SERVING__LOAD_ON_DEMAND": "1",
            "PENSTOCK_MLFLOW__TRACKING_URI": f"http://{unused_address}",
            "PENSTOCK_MLFLOW__TIMEOUT_SECONDS": "1",
        },
    )
    listening = wait_for(lambda: replica.says("listening"), "the replica listens")
    wait_for_version(str(listening["url"]), 1)
    status, answer = wait_for(
        lambda: found if (found := ask(f"{listening['url']}/v2/models/{MODEL}/versions/7"))[0] else None, "it answers"
    )
    assert (status, answer["error"]) == (503, "Version 7 cannot be fetched from MLflow now; try again later.")
    with triton.InferenceServerClient(f"127.0.0.1:{listening['grpc_port']}") as client:
        tensor = triton.InferInput("pixels", [1, 64], "FP32").set_data_from_numpy(ROW)
        answer = client.infer(MODEL, [tensor], outputs=[triton.InferRequestedOutput("probabilities")])
        expected = probabilities_by_torch(update_of(1), ROW).numpy()
        np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, rtol=0, atol=1e-6)
        assert ended(replica, signal.SIGTERM) < END_SECONDS


def test_a_replica_does_not_pay_for_what_it_does_not_use() -> None:
    code = "import sys, penstock.processes.replica.run; sys.exit(len({'mlflow', 'grpc'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
