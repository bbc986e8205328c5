"""What the configuration file and the environment may say, and the sentence each mistake gets."""

from pathlib import Path

import pytest

from penstock.errors import ConfigurationError
from penstock.settings import Settings, load, shown

DESIGN_FILE = """
[model]
name = "digits"
[[model.features]]
name = "pixels"
kind = "vector"
width = 64
[model.backbone]
kind = "mlp"
hidden = "auto"
[kafka]
"bootstrap.servers" = "127.0.0.1:9092"
[intake]
max_events = 256
max_age_seconds = 0.02
[replay]
capacity = 10000
[training]
device = "auto"
learning_rate = "auto"
inner_steps = "auto"
seed = 0
[publish]
min_interval_seconds = 0.1
max_interval_seconds = 5.0
inline_max_bytes = 524288
[mlflow]
tracking_uri = "sqlite:///state/mlflow.db"
record_interval_seconds = 10.0
[serving]
host = "127.0.0.1"
port = 8080
[telemetry]
port = 9108
[state]
directory = "state"
"""


def read(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "penstock.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ or {})


def test_the_documented_file_is_complete_and_states_the_defaults(tmp_path: Path) -> None:
    written = read(tmp_path, DESIGN_FILE)
    shortest = read(
        tmp_path,
        '[model]\nname = "digits"\n[[model.features]]\nname = "pixels"\nkind = "vector"\nwidth = 64\n'
        '[kafka]\n"bootstrap.servers" = "127.0.0.1:9092"\n',
    )
    assert written == shortest


@pytest.mark.parametrize(
    ("name", "value", "read_back"),
    [
        ("PENSTOCK_INTAKE__MAX_EVENTS", "64", lambda s: s.intake.max_events == 64),
        ("PENSTOCK_MODEL__NAME", "123", lambda s: s.model.name == "123"),
        ("PENSTOCK_MODEL__BACKBONE__HIDDEN", "[32, 16]", lambda s: s.model.backbone.hidden == (32, 16)),
        ("PENSTOCK_MLFLOW__ENABLED", "false", lambda s: s.mlflow.enabled is False),
        ("PENSTOCK_TRAINING__DEVICE", "cpu", lambda s: s.training.device == "cpu"),
        ("PENSTOCK_STATE__DIRECTORY", "/var/lib/penstock", lambda s: s.state.directory == Path("/var/lib/penstock")),
        ("PENSTOCK_KAFKA__SASL_PASSWORD", "s3cret", lambda s: s.kafka["sasl.password"] == "s3cret"),
    ],
)
def test_every_key_can_be_overridden_by_the_environment(
    tmp_path: Path, name: str, value: str, read_back: "object"
) -> None:
    assert callable(read_back)
    assert read_back(read(tmp_path, DESIGN_FILE, {name: value}))


def test_a_secret_is_read_from_a_file_and_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret\n", encoding="utf-8")
    settings = read(tmp_path, DESIGN_FILE, {"PENSTOCK_KAFKA__SASL_PASSWORD__FILE": str(secret)})
    assert settings.kafka["sasl.password"] == "s3cret"
    assert "s3cret" not in repr(settings)


def test_unquoted_kafka_keys_mean_the_same(tmp_path: Path) -> None:
    unquoted = DESIGN_FILE.replace('"bootstrap.servers"', "bootstrap.servers")
    assert read(tmp_path, unquoted).kafka == {"bootstrap.servers": "127.0.0.1:9092"}


@pytest.mark.parametrize(
    ("was", "becomes", "words"),
    [
        ("max_events = 256", "max_event = 256", ["intake.max_event", "did you mean 'max_events'"]),
        ("[replay]", "[reply]", ["reply", "did you mean 'replay'"]),
        ("width = 64", "widht = 64", ["model.features.widht", "did you mean 'width'"]),
        ("max_events = 256", 'max_events = "many"', ["intake.max_events is 'many'; it must be an integer."]),
        ("max_events = 256", "max_events = 0", ["intake.max_events is 0", "at least 1"]),
        ("seed = 0", "seed = -1", ["training.seed is -1"]),
        ("capacity = 10000", "capacity = -5", ["replay.capacity is -5", "0 or more"]),
        (
            'kind = "vector"',
            'kind = "vecto"',
            ["model.features[0].kind is 'vecto'; it must be 'number' or 'vector' or"],
        ),
        ("width = 64", "", ["'pixels'", "width is None"]),
        ('kind = "mlp"', 'kind = "forest"', ["model.backbone.kind is 'forest'"]),
        ('name = "digits"', 'name = "my model"', ["model.name is 'my model'", "letters"]),
        (
            '"bootstrap.servers"',
            '"enable.auto.commit" = true\n"bootstrap.servers"',
            ["enable.auto.commit", "checkpoint"],
        ),
        ('"bootstrap.servers" = "127.0.0.1:9092"', "", ["bootstrap.servers", "missing"]),
        ("min_interval_seconds = 0.1", "min_interval_seconds = 9.0", ["publish.min_interval_seconds is 9.0"]),
        ("sqlite:///state/mlflow.db", "ftp://mlflow", ["mlflow.tracking_uri", "sqlite:///"]),
        ("port = 8080", "port = 80800", ["serving.port is 80800", "65535"]),
        ("port = 8080", "port = 8080\ngrace_seconds = inf", ["serving.grace_seconds is inf", "finite"]),
        ("port = 8080", 'cors_origins = ["shop.example"]', ["serving.cors_origins", "'shop.example'", "scheme://host"]),
        ("[model]", "[model", ["not TOML"]),
    ],
)
def test_each_mistake_gets_a_sentence_naming_key_and_value(
    tmp_path: Path, was: str, becomes: str, words: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, DESIGN_FILE.replace(was, becomes, 1))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "enable.auto.commit",
        "auto.commit.interval.ms",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "enable.partition.eof",
        "enable.idempotence",
        "acks",
    ],
)
def test_what_the_promises_rely_on_cannot_be_set_however_it_is_said(tmp_path: Path, key: str) -> None:
    in_file = DESIGN_FILE.replace('"bootstrap', f'"{key}" = "1"\n"bootstrap')
    for text, environ in ((in_file, {}), (DESIGN_FILE, {f"PENSTOCK_KAFKA__{key.upper().replace('.', '_')}": "1"})):
        with pytest.raises(ConfigurationError, match=rf"^kafka\.'{key}' cannot be set: .+\. Remove it\.$"):
            read(tmp_path, text, environ)


def test_nothing_listens_beyond_this_machine_unless_told_to(tmp_path: Path) -> None:
    shortest = read(tmp_path, DESIGN_FILE.replace('host = "127.0.0.1"\n', ""))
    assert (shortest.serving.host, shortest.telemetry.host) == ("127.0.0.1", "127.0.0.1")


def test_a_missing_file_and_an_unknown_variable_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no configuration file"):
        load(tmp_path / "nowhere.toml", {})
    with pytest.raises(ConfigurationError, match="PENSTOCK_INTAKE__SIZE"):
        read(tmp_path, DESIGN_FILE, {"PENSTOCK_INTAKE__SIZE": "1"})


def test_a_secret_in_the_wrong_type_is_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, DESIGN_FILE.replace('"bootstrap', '"sasl.password" = [1234]\n"bootstrap'))
    assert "1234" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"^kafka is \*\*\*; it must be a table\.$"):
        read(tmp_path, 'kafka = "sasl.password=1234"\n' + DESIGN_FILE.partition("[kafka]")[0])


def test_a_key_of_kafka_of_the_wrong_type_is_named_and_its_value_is_not_repeated(tmp_path: Path) -> None:
    text = DESIGN_FILE.replace('"bootstrap.servers"', '"sasl.password" = ["s3cret"]\n"bootstrap.servers"')
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, text)
    assert str(refused.value) == "kafka.'sasl.password' is ***; it must be a string, a number, or true or false."


def test_what_is_shown_to_people_is_complete_and_without_secrets(tmp_path: Path) -> None:
    environ = {
        "PENSTOCK_KAFKA__SASL_PASSWORD": "s3cret",
        "PENSTOCK_MLFLOW__TRACKING_URI": "https://user:s3cret@mlflow.example/path",
    }
    values = shown(read(tmp_path, DESIGN_FILE, environ))
    assert "s3cret" not in str(values)
    assert values["mlflow.tracking_uri"] == "https://mlflow.example/path"
    assert values["intake.max_invalid_ratio"] == "0.5"
    assert values["kafka.sasl.password"] == "***"


def test_a_variable_into_what_is_no_table_and_a_secret_that_is_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="intake is no table in the configuration file, so PENSTOCK_INTAKE__"):
        read(tmp_path, "intake = 3\n", {"PENSTOCK_INTAKE__MAX_EVENTS": "1"})
    (secret := tmp_path / "secret").write_bytes(b"\xff\xfe hush")
    with pytest.raises(ConfigurationError, match="it is not UTF-8 text") as refused:
        read(tmp_path, DESIGN_FILE, {"PENSTOCK_KAFKA__SASL_PASSWORD__FILE": str(secret)})
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("key", ["record_interval_seconds", "report_interval_seconds"])
def test_an_interval_that_is_no_number_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"mlflow.{key} is nan"):
        read(tmp_path, DESIGN_FILE, {f"PENSTOCK_MLFLOW__{key.upper()}": "nan"})
