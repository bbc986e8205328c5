"""The server of the metrics bears whoever scrapes them."""

import socket
import struct
import urllib.request

import pytest

from penstock.adapters.prometheus.server import MetricsServer

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: a close is a reset."""


def test_a_scraper_that_hangs_up_leaves_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    server = MetricsServer(lambda: (b"x" * 50_000_000, "text/plain"), host="127.0.0.1", port=0)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as scraper:
            scraper.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            scraper.recv(10)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
        assert len(answer.read()) == 50_000_000
    server.close()
    assert "Traceback" not in "".join(capfd.readouterr())
