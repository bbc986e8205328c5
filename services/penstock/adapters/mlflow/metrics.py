"""Names of metrics as MLflow accepts them, and how many of them."""

import hashlib
import re
from collections.abc import Mapping

MAX_RECALLS = 100
RECALL = "recall/"
_NAME_LENGTH = 200
_DIGEST_LENGTH = 8


def loggable(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics with names that MLflow accepts; of the recalls by class the first 100."""
    recalls = [name for name in metrics if name.startswith(RECALL)]
    dropped = set(recalls[MAX_RECALLS:])
    return {metric_name(name): value for name, value in metrics.items() if name not in dropped}


def metric_name(name: str) -> str:
    """The name itself, or a readable one with a digest of it, so that two classes never share a curve."""
    family, slash, rest = name.partition("/")
    sane = re.sub(r"[^0-9A-Za-z_.\- ]", "_", rest)[:_NAME_LENGTH]
    if sane != rest or (slash and sane in ("", ".", "..")):
        sane += "-" + hashlib.sha256(rest.encode()).hexdigest()[:_DIGEST_LENGTH]
    return family + slash + sane
