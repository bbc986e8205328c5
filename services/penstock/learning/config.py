"""What is learnt (`[model]`) and how (`[training]`)."""

import re
from dataclasses import dataclass, field
from typing import Literal

from penstock.errors import ConfigurationError
from penstock.features import Feature, FeatureSchema
from penstock.learning.rates import LearningRates
from penstock.learning.regularisers.config import TrainingOptions

HeadName = Literal["linear", "analytic", "instances"]
HEADS: tuple[HeadName, ...] = ("linear", "analytic", "instances")
HeadInputsName = Literal["encoded", "backbone"]


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """The `[model.backbone]` section: `mlp`, `text`, or `package.module:factory` of the operator's own."""

    kind: str = "mlp"
    hidden: tuple[int, ...] | Literal["auto"] = "auto"
    """Widths of the hidden layers (`mlp`, and after the embedding bag of `text`); `auto`: one of 64, or of 128 where
    rows are wider than 32."""
    embedding_buckets: int = 16_384
    """Rows of the hashed embedding table (`text`)."""
    embedding_width: int = 64
    """Columns of the embedding table (`text`)."""
    max_tokens: int = 128
    """Tokens of a text that are read, the first ones (`text`)."""
    options: dict[str, str | int | float | bool] = field(default_factory=dict)
    """Keyword arguments for a factory of the operator's own."""

    def __post_init__(self) -> None:
        if self.kind not in ("mlp", "text") and not re.fullmatch(r"[\w.]+:\w+", self.kind):
            raise ConfigurationError(
                f"model.backbone.kind is {self.kind!r}; use 'mlp', 'text' or 'package.module:factory'."
            )
        for name in ("embedding_buckets", "embedding_width", "max_tokens"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"model.backbone.{name} is {getattr(self, name)}; it must be at least 1.")
        if self.hidden != "auto" and any(width < 1 for width in self.hidden):
            raise ConfigurationError(f"model.backbone.hidden is {list(self.hidden)}; every width must be at least 1.")

    def hidden_for(self, input_width: int) -> tuple[int, ...]:
        """The widths configured, or what suits rows of this width."""
        if self.hidden != "auto":
            return self.hidden
        return (64,) if input_width <= 32 else (128,)


@dataclass(frozen=True, kw_only=True)
class WarmStartConfig:
    """The `[model.warm_start]` section: weights to begin with, where there is no checkpoint yet."""

    uri: str = ""
    """A safetensors file, by path or `file:` URI, or a version in MLflow: `models:/name/3`, `models:/name@alias`."""

    def __post_init__(self) -> None:
        scheme = self.uri.partition(":")[0] if ":" in self.uri else ""
        if scheme not in ("", "file", "models"):
            raise ConfigurationError(
                f"model.warm_start.uri is {self.uri!r}; use a path, file:///… or models:/name/version."
            )
        if scheme == "models" and not re.fullmatch(r"models:/[^/@:]+(/\d+|@[^/@:]+)", self.uri):
            raise ConfigurationError(
                f"model.warm_start.uri is {self.uri!r}; in MLflow use models:/name/version or models:/name@alias."
            )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The `[model]` section."""

    name: str
    """Names the topics, the MLflow model and the served model."""
    features: tuple[Feature, ...]
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    warm_start: WarmStartConfig = field(default_factory=WarmStartConfig)
    heads: tuple[HeadName, ...] = HEADS
    """What answers, mixed by how well each has done: `linear` (the backbone, by gradient and replay), `analytic`
    (closed form, forgets nothing), `instances` (nearest stored rows, and exceptions)."""
    max_classes: int = 100_000
    """An event of one class more is refused; classes known before, also hibernated and retired ones, count."""

    head_inputs: HeadInputsName = "encoded"
    """What the heads beside `linear` read of a row: the row as `encoded`, or the features of the `backbone`, which must
    be frozen then."""

    def __post_init__(self) -> None:
        if self.max_classes < 1:
            raise ConfigurationError(f"model.max_classes is {self.max_classes}; it must be at least 1.")
        if not self.heads or len(set(self.heads)) < len(self.heads):
            raise ConfigurationError(
                f"model.heads is {list(self.heads)}; name at least one of {', '.join(HEADS)}, each once."
            )
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}", self.name):
            raise ConfigurationError(
                f"model.name is {self.name!r}; use 1 to 200 letters, digits, '.', '_' or '-' (it names Kafka topics)."
            )
        if self.backbone.kind == "text" and not any(feature.kind == "text" for feature in self.features):
            raise ConfigurationError("model.backbone.kind is 'text' but no feature has kind 'text'.")
        _ = self.schema

    @property
    def schema(self) -> FeatureSchema:
        """The features as one value."""
        return FeatureSchema(features=self.features)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The `[training]` section."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes CUDA where it is found."""
    learning_rate: float | Literal["auto"] = "auto"
    """Adam's step size; `auto`: 0.01, and 0.001 for a backbone of the operator's own."""
    inner_steps: int | Literal["auto"] = "auto"
    """Gradient steps on each slice of a micro-batch, each with kept rows of its own; `auto`: as many as make 30 row
    gradients an event, from 10 down to 1 where there is much to do."""
    seed: int = 0
    """Of initial weights and of replay draws."""
    num_threads: int = 1
    """CPU threads of torch; more than one may change results in the last bits."""
    prequential_fading: float = 0.999
    """Factor by which past prequential scores fade with each event."""
    analytic_forgetting: float = 1.0
    """Factor by which what the analytic head has learnt fades with each event; 1: it forgets nothing."""
    learning_rates: LearningRates = field(default_factory=LearningRates)
    options: TrainingOptions = field(default_factory=TrainingOptions)

    def __post_init__(self) -> None:
        if self.learning_rate != "auto" and not 0 < self.learning_rate < float("inf"):
            raise ConfigurationError(f"training.learning_rate is {self.learning_rate}; it must be 'auto' or above 0.")
        if self.inner_steps != "auto" and self.inner_steps < 1:
            raise ConfigurationError(f"training.inner_steps is {self.inner_steps}; it must be 'auto' or at least 1.")
        if self.num_threads < 1:
            raise ConfigurationError(f"training.num_threads is {self.num_threads}; it must be at least 1.")
        if not 0 < self.prequential_fading <= 1:
            raise ConfigurationError(
                f"training.prequential_fading is {self.prequential_fading}; it must be above 0 and at most 1."
            )
        if not 0.9 <= self.analytic_forgetting <= 1:
            raise ConfigurationError(
                f"training.analytic_forgetting is {self.analytic_forgetting}; it must be at least 0.9 and at most 1."
            )
        if not 0 <= self.seed < 2**63:
            raise ConfigurationError(f"training.seed is {self.seed}; it must be from 0 to 2^63 - 1.")

    def learning_rate_for(self, backbone: BackboneConfig) -> float:
        """The number configured, or what suits the backbone."""
        if self.learning_rate != "auto":
            return self.learning_rate
        return 0.01 if backbone.kind in ("mlp", "text") else 0.001


def check_frozen(model: ModelConfig, training: TrainingConfig) -> None:
    """Sums of a backbone's features mean nothing once it moves. Raises `ConfigurationError` where it would."""
    rates = training.learning_rates
    if model.head_inputs != "backbone":
        return
    if not {"last_block", "lower"} <= set(rates.frozen):
        raise ConfigurationError(
            f"model.head_inputs is 'backbone', but training.learning_rates.frozen is {list(rates.frozen)}; the features"
            " must stand still, so list 'last_block' and 'lower' there."
        )
    if rates.unfreeze_after_events:
        raise ConfigurationError(
            "model.head_inputs is 'backbone', but training.learning_rates.unfreeze_after_events is"
            f" {rates.unfreeze_after_events}; the features must stand still, so set it to 0."
        )
