"""requests: 784 numbers to an MLP of 784-256-10, one replica on one core, wrk on the other"""

import argparse
import functools
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench_serving.closed_loop import in_turn
from bench_serving.replicas import replica
from bench_serving.servers import echo, pinned
from bench_serving.subject import ALL_HEADS, LINEAR, PATH, Body, binary_body, json_body, weights_of, write_for_peers
from figures import Figure
from peer_environments import NotInstallableError, python_of
from waiting import wait_for

PEERS_FOLDER = Path(__file__).parent / "peers"
PEERS = ("mlserver", "kserve")
OURS, THREE_HEADS, ECHO = "penstock", "penstock, three heads", "bare ASGI echo"
CONNECTIONS = (1, 32)
START_SECONDS = 120.0


def measure(asked: argparse.Namespace, folder: Path) -> list[Figure]:
    """All servers in turn, and what each is against the others."""
    with ExitStack() as servers:
        weights = weights_of(LINEAR)
        ports = {
            OURS: servers.enter_context(replica(folder / "linear", LINEAR, weights)).port,
            THREE_HEADS: servers.enter_context(replica(folder / "heads", ALL_HEADS, weights_of(ALL_HEADS))).port,
            ECHO: free_port(),
        }
        servers.enter_context(echo(ports[ECHO], folder / "echo.log"))
        if asked.peers:
            write_for_peers(weights[1], folder / "network.safetensors")
            for peer in PEERS:
                port = _start_peer(peer, folder, servers)
                if port is not None:
                    ports[peer] = port
        for port in ports.values():
            wait_for(functools.partial(_answers, port), "all servers answer", START_SECONDS)
        run = functools.partial(in_turn, folder=folder, seconds=asked.seconds, rounds=asked.rounds)
        json_runs = {number: run(ports, json_body(), connections=number) for number in CONNECTIONS}
        with_binary = {name: port for name, port in ports.items() if name not in PEERS}
        binary_runs = {number: run(with_binary, binary_body(), connections=number) for number in CONNECTIONS}
    return [
        *_figures("JSON", json_runs),
        *_figures("binary", binary_runs),
        *_ratios(json_runs, binary_runs),
    ]


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _start_peer(peer: str, folder: Path, servers: ExitStack) -> int | None:
    """Its port; None, with a sentence, where it cannot be installed."""
    try:
        python = python_of(f"serving-{peer}", PEERS_FOLDER / "requirements" / f"{peer}.txt").absolute()
    except NotInstallableError as error:
        print(error, file=sys.stderr)
        return None
    port = free_port()
    script = PEERS_FOLDER / f"serve_{peer}.py"
    command = [str(python), str(script), str(port), str(folder / "network.safetensors")]
    servers.enter_context(pinned(command, folder / f"{peer}.log"))
    return port


def _answers(port: int) -> bool:
    body: Body = json_body()
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body.content)}"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(f"{head}\r\n\r\n".encode() + body.content)
            return connection.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        time.sleep(0.2)
        return False


def _figures(form: str, runs: dict[int, dict[str, dict[str, float]]]) -> list[Figure]:
    figures = []
    for connections, by_server in runs.items():
        for server, found in by_server.items():
            name = f"{server}, {form}, {connections} connection{'s' if connections > 1 else ''}"
            barred = (server, form, connections) == (OURS, "JSON", 1)
            figures += [
                Figure(
                    name=name,
                    value=found["requests_per_second"],
                    unit="requests/s",
                    target=4000 if barred else None,
                ),
                Figure(
                    name=f"{name}, p50",
                    value=found["p50_ms"],
                    unit="ms",
                    target=0.3 if barred else None,
                    sense="at most",
                ),
                Figure(
                    name=f"{name}, p99",
                    value=found["p99_ms"],
                    unit="ms",
                    target=1.0 if barred else None,
                    sense="at most",
                ),
            ]
            if server in (OURS, THREE_HEADS) or found["errors"]:
                errors = found["errors"]
                figures.append(Figure(name=f"{name}, errors", value=errors, unit="", target=0, sense="at most"))
    return figures


def _ratios(
    json_runs: dict[int, dict[str, dict[str, float]]], binary_runs: dict[int, dict[str, dict[str, float]]]
) -> list[Figure]:
    figures = []
    for number in CONNECTIONS:
        ours = json_runs[number][OURS]["requests_per_second"]
        binary = binary_runs[number][OURS]["requests_per_second"]
        at = f"{number} connection{'s' if number > 1 else ''}"
        target = (
            None if number == 1 else 1.3
        )  # one connection waits for the way there and back more than for the server
        figures.append(Figure(name=f"binary ÷ JSON, {at}", value=binary / ours, unit="", target=target))
        for other in (ECHO, *PEERS):
            if other in json_runs[number]:
                value = ours / json_runs[number][other]["requests_per_second"]
                bar = 2.0 if other in PEERS else None
                figures.append(Figure(name=f"penstock ÷ {other}, JSON, {at}", value=value, unit="", target=bar))
    return figures
