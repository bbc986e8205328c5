"""What a running process says of itself on its metrics page."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from line import Process
from waiting import PATIENCE_SECONDS, wait_for


def metrics_url(process: Process) -> str:
    """A trainer's, once it serves them."""
    return str(wait_for(lambda: process.says("metrics"), "the trainer serves its metrics")["url"])


def scraped(url: str) -> dict[str, float]:
    """Every sample by its name, those with several labels summed."""
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as response:
        text = response.read().decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found
