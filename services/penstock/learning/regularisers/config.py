"""Options of the linear head, all off unless set."""

from dataclasses import dataclass, fields

from penstock.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """The `[training.options]` section."""

    der_weight: float = 0.0
    """DER++: how much a replayed row is held to the logits it had when it was put away."""
    er_ace: bool = False
    """ER-ACE: fresh rows push no class away that is absent from the batch."""
    weight_aligning_events: int = 0
    """WA: rows of classes born within so many events are kept at the mean length of the older ones."""
    ema_decay: float = 0.0
    """The average of the weights over steps, with this decay, is served; 0 serves the weights themselves."""
    ewc_strength: float = 0.0
    """Online EWC: pull back to the last anchor, by Fisher information."""
    si_strength: float = 0.0
    """SI: pull back to the last anchor, by what each weight's path has gained."""
    lwf_weight: float = 0.0
    """LwF: how much fresh rows are held to what the last anchor says of its classes."""
    anchor_events: int = 0
    """EWC, SI, LwF: the anchor moves every so many events; 0: when a class is born, at most once in 500 events."""
    importance_rate: float = 0.0
    """A further step of the head for each fresh row, invariant in its weight: how far a weight of 1 goes."""

    def __post_init__(self) -> None:
        for name in ("der_weight", "ewc_strength", "si_strength", "lwf_weight", "importance_rate"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigurationError(f"training.options.{name} is {getattr(self, name)}; it must be 0 or more.")
        for name in ("weight_aligning_events", "anchor_events"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"training.options.{name} is {getattr(self, name)}; it must be 0 or more.")
        if not 0 <= self.ema_decay < 1:
            raise ConfigurationError(
                f"training.options.ema_decay is {self.ema_decay}; it must be at least 0 and below 1."
            )
        if self.anchor_events and not (self.ewc_strength or self.si_strength or self.lwf_weight):
            raise ConfigurationError(
                f"training.options.anchor_events is {self.anchor_events}, but nothing looks at an anchor: set"
                " ewc_strength, si_strength or lwf_weight as well, or leave it at 0."
            )

    @property
    def any_is_on(self) -> bool:
        """False if there is nothing beside the plain loss and step."""
        return any(getattr(self, field.name) for field in fields(self) if field.name != "anchor_events")
