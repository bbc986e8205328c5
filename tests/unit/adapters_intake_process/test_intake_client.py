"""The trainer never waits for an intake process that waits for it."""

import sys
import threading

from counted_telemetry import CountedTelemetry
from penstock.adapters.intake_process.client import IntakeProcess
from penstock.features import Feature, FeatureSchema
from penstock.flow import Offsets, RefusedEvent
from waiting import PATIENCE_SECONDS

SCHEMA = FeatureSchema(features=(Feature(name="n", kind="number"),))
FULL_PIPE = "import os, sys; os.write(1, bytes(8 << 20)); sys.stdin.buffer.read()"
"""It listens once all that it has to say is read."""


def test_refusals_by_the_thousand_do_not_wait_for_a_process_that_is_writing() -> None:
    process = IntakeProcess([sys.executable, "-c", FULL_PIPE], SCHEMA, CountedTelemetry())
    refused = [RefusedEvent(partition=0, offset=offset, row=0, sentence="too many classes") for offset in range(5000)]

    def tell() -> None:
        process.refuse(refused)
        process.commit(Offsets(next={0: 5000}))

    telling = threading.Thread(target=tell, daemon=True)
    telling.start()
    telling.join(PATIENCE_SECONDS)
    is_stuck = telling.is_alive()
    process.close()
    assert not is_stuck
