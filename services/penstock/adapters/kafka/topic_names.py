"""The topics of a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TopicNames:
    """Names derived from the model's name."""

    model: str

    @property
    def labels(self) -> str:
        """Labelled events come in here."""
        return f"{self.model}.labels"

    @property
    def updates(self) -> str:
        """Model updates, withdrawals and claims; one partition, compacted."""
        return f"{self.model}.updates"

    @property
    def dead_letters(self) -> str:
        """Messages that do not decode or do not fit the model."""
        return f"{self.model}.dead-letters"

    @property
    def predictions(self) -> str:
        """What replicas were asked and answered, if they log it."""
        return f"{self.model}.predictions"
