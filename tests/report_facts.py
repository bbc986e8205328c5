"""Facts for the report: a stream with births, drift and many or few classes."""

import numpy as np

from penstock.learning.ledger import ClassEntry, ClassLedger
from penstock.learning.watching.watch import Watch
from penstock.report.facts import Facts, RecordedVersion
from watched_rows import in_batches, stream

FIGURES = {"events_learnt": 777.0, "version/accuracy": 0.4567}
START_MS = 1_778_312_000_000
NASTY = '<script>alert("x")</script> & a name that goes on and on'


def facts_of(names: tuple[str, ...], num_events: int = 4_000, drift: bool = True) -> Facts:
    """A watch that saw so many events of classes of these names; in the last third the first class goes wrong."""
    generator, watch, num_classes = np.random.default_rng(0), Watch(0.99), len(names)
    wrong_later = [0.9 if drift else 0.1, *[0.1] * (num_classes - 1)]
    for part, rates in ((2, [0.1] * num_classes), (1, wrong_later)):
        for rows in in_batches(stream(part * num_events // 3, rates, generator), 32) if num_classes else ():
            weights = {"weight/linear": 0.25, "weight/analytic": 0.75}
            now_ms = START_MS + watch.events
            watch.observe(rows, num_events=len(rows), class_names=names, step=1, now_ms=now_ms, figures=weights)
    return Facts(
        model="digits & more",
        version=12,
        epoch=1,
        step=125,
        events_learnt=watch.events,
        trained_until_ms=START_MS + watch.events,
        made_at_ms=START_MS + 60_000,
        ledger=ClassLedger(
            ClassEntry(index=index, name=name, born_offset=f"0:{index}", state="live" if index else "hibernated")
            for index, name in enumerate(names)
        ),
        watch=watch,
        class_events=np.full(num_classes, 50),
        reservoir_rows=np.arange(1, num_classes + 1),
        window_rows=np.full(num_classes, 2),
        reservoir_capacity=500,
        recorded=[RecordedVersion(version=9, announced_at_ms=START_MS, figures=FIGURES)],
        sources=["Made from the checkpoint of step 125."],
    )
