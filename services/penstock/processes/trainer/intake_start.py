"""What the intake process is told when the learner is ready for its first micro-batch."""

from penstock.adapters.intake_process.messages import Start
from penstock.learning.learner import Learner
from penstock.settings import Settings, failpoints_named


def intake_start(settings: Settings, learner: Learner) -> Start:
    """Read from where the learner is, and know what it knows of classes and repeats."""
    return Start(
        model=settings.model.name,
        features=settings.model.schema.features,
        kafka=settings.kafka,
        intake=settings.intake,
        offsets=learner.offsets.next,
        step=learner.step,
        read_until_ms=learner.read_until_ms if settings.serving.prediction_log.enabled else None,
        failpoints=failpoints_named(),
        seen=learner.seen.entries().tobytes(),
        num_classes=len(learner.class_names),
        max_classes=settings.model.max_classes,
    )
