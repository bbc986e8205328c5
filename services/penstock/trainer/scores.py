"""The metrics that travel with an update and into MLflow."""

from penstock.flow import StepReport
from penstock.learning.learner import Learner

MAX_RECALLS = 100
"""Classes whose recall is reported one by one."""


def scores(learner: Learner, report: StepReport | None) -> dict[str, float]:
    """Names and values of one moment; without a step since start, only counts."""
    values = {"events_learnt": float(learner.events_learnt), "classes": float(len(learner.class_names))}
    if report is not None:
        values["loss"] = report.loss
        values["prequential_accuracy"] = report.prequential_accuracy
        values["prequential_loss"] = report.prequential_loss
    return values


def recalls(learner: Learner) -> dict[str, float]:
    """Fading recall by class name, of the first classes."""
    return dict(list(learner.recall_by_class().items())[:MAX_RECALLS])
