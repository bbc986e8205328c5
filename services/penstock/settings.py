"""The only reader of the configuration file and of the environment.

One TOML file; every key can be overridden by `PENSTOCK_SECTION__KEY` (nested: `PENSTOCK_MODEL__BACKBONE__KIND`; Kafka
keys with `_` for `.`), and its value read from a file by the same name with `__FILE` at the end.
"""

import difflib
import os
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path

import msgspec

from penstock.adapters.kafka.config import KafkaValue, checked, redacted
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.credentials import without_credentials
from penstock.errors import ConfigurationError
from penstock.failpoints import VARIABLE
from penstock.intake.config import IntakeConfig
from penstock.learning.config import ModelConfig, TrainingConfig, check_frozen
from penstock.replay.config import ReplayConfig
from penstock.serving.config import ServingConfig
from penstock.trainer.config import PublishConfig, StateConfig, TelemetryConfig

PREFIX = "PENSTOCK_"
WRONG_TYPE = re.compile(r"^Expected `(?P<expected>[^`]+)`, got `[^`]+`$")
KINDS = {
    "str": "a string",
    "float": "a number",
    "int": "an integer",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The whole configuration, checked."""

    model: ModelConfig
    kafka: dict[str, KafkaValue] = field(repr=False)
    intake: IntakeConfig = field(default_factory=IntakeConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    publish: PublishConfig = field(default_factory=PublishConfig)
    mlflow: MlflowConfig = field(default_factory=MlflowConfig, repr=False)
    serving: ServingConfig = field(default_factory=ServingConfig)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    state: StateConfig = field(default_factory=StateConfig)

    def __post_init__(self) -> None:
        checked(self.kafka)
        check_frozen(self.model, self.training)

    @property
    def prediction_window_seconds(self) -> float | None:
        """How long after a prediction a label may name it; None if predictions are not logged."""
        return self.intake.late_labels.window_seconds if self.serving.prediction_log.enabled else None


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check the configuration.

    Raises:
        ConfigurationError: names the key, its value and what is allowed.
    """
    tree = _read_toml(path)
    if isinstance(tree.get("kafka"), dict):
        tree["kafka"] = _flattened(tree["kafka"])
    for name, value in sorted(environ.items()):
        if name.startswith(PREFIX) and "__" in name:
            _override(tree, name, value)
    _refuse_unknown_keys(tree, Settings, "")
    try:
        return msgspec.convert(tree, Settings, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise ConfigurationError(_sentence(str(error), tree)) from None


def failpoints_named(environ: Mapping[str, str] = os.environ) -> str:
    """What `PENSTOCK_FAILPOINTS` says, for `failpoints.arm`: no key of the file, since nobody would want it twice."""
    return environ.get(VARIABLE, "")


def shown(settings: Settings) -> dict[str, str]:
    """Every key with its value as text, by dotted name, for people: secrets replaced."""
    tree = asdict(settings)
    tree["kafka"] = redacted(settings.kafka)
    tree["mlflow"]["tracking_uri"] = settings.mlflow.shown_uri
    return {
        f"{section}.{key}": without_credentials(str(value))
        for section, values in sorted(tree.items())
        for key, value in values.items()
    }


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"expected a path, got {value!r}")


def _read_toml(path: Path) -> dict[str, typing.Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"There is no configuration file {path}; name one with --config FILE.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The configuration file {path} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The configuration file {path} is not TOML: {error}.") from None


def _flattened(section: Mapping[str, typing.Any], prefix: str = "") -> dict[str, typing.Any]:
    """`bootstrap.servers = …` without quotes is a nested table in TOML; librdkafka means one dotted key."""
    flat: dict[str, typing.Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            flat |= _flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _override(tree: dict[str, typing.Any], name: str, value: str) -> None:
    path = name.removeprefix(PREFIX).lower().split("__")
    if path[-1] == "file" and len(path) > 2:
        path.pop()
        value = _read_secret(name, value)
    if path[0] == "kafka":
        _table(tree, "kafka", name)[path[1].replace("_", ".")] = value
        return
    expected: typing.Any = Settings
    for key in path:
        expected = typing.get_type_hints(expected).get(key) if is_dataclass(expected) else None
    if expected is None:
        raise ConfigurationError(f"The environment variable {name} names no configuration key.")
    section = tree
    for key in path[:-1]:
        section = _table(section, key, name)
    section[path[-1]] = (
        value if expected in (str, Path) or typing.get_origin(expected) is typing.Literal else _toml_value(value)
    )


def _table(section: dict[str, typing.Any], key: str, variable: str) -> dict[str, typing.Any]:
    """A table of the file that an environment variable puts something into."""
    table: typing.Any = section.setdefault(key, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{key} is no table in the configuration file, so {variable} cannot be put into it.")
    return table


def _read_secret(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"The file named by {name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:  # what is wrong with it may be a part of the secret
        raise ConfigurationError(f"The file named by {name} cannot be read: it is not UTF-8 text.") from None


def _toml_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _refuse_unknown_keys(section: Mapping[str, typing.Any], owner: type, where: str) -> None:
    hints = typing.get_type_hints(owner)
    known = [entry.name for entry in fields(owner)]
    for key, value in section.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}."
            raise ConfigurationError(f"{where}{key} is no configuration key; {hint}")
        for inner in (hints[key], *typing.get_args(hints[key])):
            if is_dataclass(inner):
                for entry in value if isinstance(value, list) else [value]:
                    if isinstance(entry, Mapping):
                        _refuse_unknown_keys(entry, typing.cast(type, inner), f"{where}{key}.")


def _sentence(problem: str, tree: Mapping[str, typing.Any]) -> str:
    """`Expected `int`, got `str` - at `$.intake.max_events`` as a sentence naming the key and its value."""
    what, _, where = problem.partition(" - at `$.")
    path = where.rstrip("`")
    if not path:
        return f"The configuration is incomplete: {problem[0].lower()}{problem[1:]}."
    if path.startswith("kafka["):  # which of the keys is not said
        wrong = next(key for key, value in tree["kafka"].items() if not isinstance(value, KafkaValue))
        return f"kafka.{wrong!r} is ***; it must be a string, a number, or true or false."
    value: typing.Any = tree
    for key in path.replace("[", ".").replace("]", "").split("."):
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, ValueError, TypeError):
            return f"{path}: {what[0].lower()}{what[1:]}."
    shown = "***" if path == "kafka" else repr(value)
    allowed = _allowed(path, what)
    return (
        f"{path} is {shown}; it must be {allowed}." if allowed else f"{path} is {shown}: {what[0].lower()}{what[1:]}."
    )


def _allowed(path: str, problem: str) -> str:
    """What may stand at a path, in words; empty where the problem is neither its type nor its choice."""
    wrong = WRONG_TYPE.match(problem)
    if wrong:
        return " or ".join(KINDS.get(name, name) for name in wrong["expected"].split(" | ") if name != "null")
    expected: typing.Any = Settings
    for key in re.findall(r"[^.\[\]]+", path):
        if not key.isdecimal():
            holder = next((each for each in (expected, *typing.get_args(expected)) if is_dataclass(each)), None)
            expected = None if holder is None else typing.get_type_hints(holder).get(key)
    literals = [each for each in (expected, *typing.get_args(expected)) if typing.get_origin(each) is typing.Literal]
    return " or ".join(repr(choice) for literal in literals for choice in typing.get_args(literal))
