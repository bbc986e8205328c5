"""One keep-alive connection asked as fast as it answers, with as little client as Python allows.

`python raw_client.py PORT PATH SECONDS < BODY` prints one JSON object: requests, errors, and latencies in milliseconds.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from raw_connection import RawConnection, request_of

WARM_UP_REQUESTS = 300


def main(port: int, path: str, seconds: float, body: bytes) -> dict[str, float]:
    """Ask for so long; a lost connection counts as an error and ends it."""
    request, connection = request_of(path, body), RawConnection(port)
    for _ in range(WARM_UP_REQUESTS):
        connection.exchange(request)
    latencies: list[float] = []
    errors = 0
    versions: set[str] = set()
    began = time.perf_counter()
    end = began + seconds
    before = began
    while before < end:
        try:
            ok, answer = connection.exchange(request)
        except OSError:
            errors += 1
            break
        now = time.perf_counter()
        latencies.append(now - before)
        before = now
        if ok:
            versions.add(answer[:80].partition(b'"model_version":"')[2].partition(b'"')[0].decode())
        else:
            errors += 1
    latencies.sort()
    return {
        "requests": len(latencies),
        "requests_per_second": len(latencies) / (before - began),
        "errors": errors,
        "versions": len(versions),
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
        "slowest_ms": latencies[-1] * 1000,
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.stdin.buffer.read())))
