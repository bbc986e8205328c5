"""The rows that are reported, as `docs/learning.md` lists them. Nothing may be tuned on them."""

from collections.abc import Sequence

from bench_learning import click, hibernation, speed
from bench_learning.gdumb import play_from_scratch
from bench_learning.playing import play_served
from bench_learning.row import Bar, Row, streamed
from bench_learning.stream import StreamOf
from bench_learning.streams import digits, drifting, recorded

BOTH = (32, 1)


def reported_rows() -> Sequence[Row]:
    """In the order of the table."""
    return (
        Row(
            key="split-digits",
            title="split-digits, 5 tasks of 2 classes, memory 200",
            measure=streamed(digits.split_digits),
            stream=digits.split_digits,
            bars=(
                Bar(figure="final", title="accuracy on all ten at the end", at=0.98, aim=0.985),
                Bar(figure="prequential", title="prequential", at=0.95),
            ),
        ),
        Row(
            key="split-digits-served",
            title="the same, answered by a replica on the weights from before each micro-batch",
            measure=streamed(digits.split_digits, play_served),
            bars=(Bar(figure="served", at=None),),
        ),
        Row(
            key="split-digits-gdumb",
            title="GDumb on the same: a network trained from scratch on the 200 rows that are kept at the end",
            measure=streamed(digits.split_digits, play_from_scratch),
            bars=(Bar(figure="final", at=None),),
        ),
        Row(
            key="blurry-digits",
            title="the same, ten random class orders, blurry borders",
            measure=streamed(digits.blurry_digits),
            stream=digits.blurry_digits,
            seeds=range(10),
            bars=(
                Bar(figure="final", title="mean", at=0.98),
                Bar(figure="final", title="worst", at=0.965, over="least"),
            ),
        ),
        Row(
            key="long-tail-falling",
            title="long-tail digits 1:30, memory 200, sizes falling in task order",
            measure=streamed(digits.long_tail_falling),
            stream=digits.long_tail_falling,
            bars=(Bar(figure="balanced", title="balanced accuracy", at=0.93),),
        ),
        Row(
            key="long-tail-falling-gdumb",
            title="GDumb on the same",
            measure=streamed(digits.long_tail_falling, play_from_scratch),
            bars=(Bar(figure="balanced", title="balanced accuracy", at=None),),
        ),
        Row(
            key="long-tail-random",
            title="the same, sizes on random classes",
            measure=streamed(digits.long_tail_random),
            stream=digits.long_tail_random,
            bars=(Bar(figure="balanced", title="balanced accuracy", at=0.91, aim=0.93),),
        ),
        _prequential("sine", "Sine label flips (f0, f1, f0, f1), 10k", drifting.sine_flips, 0.975),
        _prequential("rbf-drift", "RBF drift, speed .001, 4 classes, 10k", drifting.moving_centroids, 0.94),
        _prequential("hyperplane", "Hyperplane drift (.01, 10 features), 10k", drifting.turning_hyperplane, 0.875),
        _prequential("sea", "SEA abrupt, 10k", drifting.sea_abrupt, 0.87),
        _prequential("led", "LED drift, 10k", drifting.led_drift, 0.755),
        _prequential("image-segments", "ImageSegments (river)", recorded.image_segments, 0.935),
        _prequential("bananas", "Bananas (river)", recorded.bananas, 0.895),
        _prequential("phishing", "Phishing (river)", recorded.phishing, 0.903, aim=0.914),
        _prequential(
            "random-rbf", "RandomRBF(42, 42, 4 classes, 4 features, 20 centroids), 5k", recorded.random_rbf, 0.755
        ),
        hibernation.row("hibernate", digits.digits_at_once),
        click.row("click", digits.digits_at_once),
        *speed.speed_rows(),
    )


def _prequential(key: str, title: str, stream: StreamOf, at: float, aim: float | None = None) -> Row:
    bar = Bar(figure="prequential", title="prequential", at=at, aim=aim)
    return Row(key=key, title=title, measure=streamed(stream), bars=(bar,), batches=BOTH, stream=stream)
