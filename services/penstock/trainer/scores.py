"""The metrics that travel with an update, and those that stand in MLflow beside them."""

from collections.abc import Sequence

from penstock.flow import JudgedAnswers, StepReport
from penstock.learning.learner import Learner
from penstock.learning.watching.watch import WEIGHT

MAX_RECALLS = 100
"""Classes whose recall is reported one by one."""
CONFUSIONS = 10
"""The largest, by share of a class's rows."""
JUDGED = "answers/"
"""Begins the names of what late labels say of replicas' answers."""
MAX_CLASSES = 25
"""Classes whose other scores are."""


def scores(learner: Learner, report: StepReport | None) -> dict[str, float]:
    """Names and values of one moment, few; without a step since start, only counts."""
    values = {"events_learnt": float(learner.events_learnt), "classes": float(len(learner.class_names))}
    if report is not None:
        values["loss"] = report.loss
        values["prequential_accuracy"] = report.prequential_accuracy
        values["prequential_loss"] = report.prequential_loss
        values["prequential_kappa_temporal"] = report.prequential_kappa_temporal
        values["reservoir_rows"] = float(report.reservoir_rows)
    alarms = learner.watch.alarms
    values["drift_alarms"] = float(alarms.count)
    if alarms.newest:
        values["drift_last_size"] = alarms.newest[-1].size
    return values | _judged(learner.watch.judged.by_version())


def _judged(answers: Sequence[JudgedAnswers]) -> dict[str, float]:
    """How good replicas' answers were, of the versions of which late labels have judged any."""
    if not answers:
        return {}
    events = sum(each.events for each in answers)
    return {
        f"{JUDGED}accuracy": sum(each.right for each in answers) / events,
        f"{JUDGED}events": float(events),
        f"{JUDGED}oldest_version": float(answers[0].version),
        f"{JUDGED}newest_version": float(answers[-1].version),
    }


def standing(learner: Learner) -> dict[str, float]:
    """Kappa, the weights of heads, and scores by class: `recall/<name>`, `loss/…`, `kappa/…` and so on.

    `kept/<name>` counts rows kept for replay, `confused/<name> as <name>` is a share of the rows of the first.
    """
    details, names = learner.watch.details(), learner.class_names
    classes = details.classes
    values = {"prequential_kappa": details.kappas.kappa} if len(classes) else {}
    values |= {WEIGHT + head: weight for head, weight in learner.weights_by_head.items()}
    by_class = (
        ("recall", classes.recall, MAX_RECALLS),
        ("loss", classes.loss, MAX_CLASSES),
        ("kappa", details.kappas.kappa_by_class(), MAX_CLASSES),
        ("kappa_temporal", details.kappas.kappa_temporal_by_class(), MAX_CLASSES),
        ("kept", learner.kept_by_class(), MAX_CLASSES),
        ("forgotten", classes.forgotten, MAX_CLASSES),
    )
    for family, figures, most in by_class:
        values |= {f"{family}/{name}": value for name, value in zip(names[:most], figures.tolist(), strict=False)}
    for label, predicted, share in details.confusion.largest(CONFUSIONS):
        values[f"confused/{names[label]} as {names[predicted]}"] = share
    return values
