"""The gate: a candidate that is worse than the served version, on events that neither has learnt, stays behind."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import structlog

from penstock.errors import PenstockError
from penstock.flow import Weights
from penstock.learning.champion import Bounds, Verdict, compare
from penstock.learning.predictor import Predictor
from penstock.learning.set_aside import HeldRows
from penstock.telemetry import Telemetry
from penstock.trainer.refusal import Refusal

Build = Callable[[bytes], Predictor]
"""From a weights file to what answers."""

log = structlog.get_logger(__name__)


class Gate:
    """Champion against challenger; used by the writer's thread.

    Args:
        bounds: how much worse a candidate may be.
        build: from a weights file to what answers.
        champion: the weights file of the version announced last; None where it is not known, or there is none.
        telemetry: for verdicts.
    """

    def __init__(self, bounds: Bounds, build: Build, champion: bytes | None, telemetry: Telemetry) -> None:
        self._bounds = bounds
        self._build = build
        self._telemetry = telemetry
        self._champion = self._built(champion)
        self._refused_in_a_row = 0

    def judge(
        self, version: int, weights: Weights, held: HeldRows, class_names: Sequence[str], now_ms: int
    ) -> Refusal | None:
        """None if the candidate may be announced; it is then the champion."""
        challenger = self._build(weights.content)
        verdict = Verdict(rows=len(held))
        if self._champion is not None and len(held):
            champion, candidate = _right(self._champion, held), _right(challenger, held)
            verdict = compare(champion, candidate, held.classes, self._bounds)
        self._telemetry.gauge("penstock_gate_difference_ratio", verdict.difference)
        self._telemetry.count("penstock_gate_verdicts_total", result="passed" if verdict.passed else "refused")
        if not verdict.passed:
            return self._refused(version, verdict, class_names, now_ms)
        if self._refused_in_a_row:
            log.info("gate: candidates pass again", version=version, refused=self._refused_in_a_row)
        self._champion, self._refused_in_a_row = challenger, 0
        return None

    def _refused(self, version: int, verdict: Verdict, class_names: Sequence[str], now_ms: int) -> Refusal:
        losing = tuple(class_names[label] for label in verdict.lost)
        sentence = (
            f"Version {version} is not announced: of {verdict.rows} held-out events {verdict.worse} were right by the"
            f" served version alone and {verdict.better} by this one alone (difference {verdict.difference:+.4f}, at"
            f" least {verdict.least:+.4f}; the margin is {self._bounds.margin})"
        )
        sentence += f"; it loses recall of {', '.join(losing[:5])}." if losing else "."
        self._refused_in_a_row += 1
        if self._refused_in_a_row == 1:
            log.warning("gate: candidate refused, replicas keep the version that they have", reason=sentence)
        return Refusal(version=version, verdict=verdict, sentence=sentence, at_ms=now_ms, losing=losing)

    def _built(self, content: bytes | None) -> Predictor | None:
        try:
            return None if content is None else self._build(content)
        except PenstockError as error:
            log.warning("gate: the version announced last cannot be compared with", reason=str(error))
            return None


def _right(predictor: Predictor, held: HeldRows) -> npt.NDArray[np.bool_]:
    if not predictor.class_names:
        return np.zeros(len(held), dtype=np.bool_)
    right: npt.NDArray[np.bool_] = predictor.probabilities(held.rows).argmax(axis=1) == held.classes
    return right
