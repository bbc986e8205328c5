"""The keys that sign updates and those that verify them, each from the file that the configuration names."""

from pathlib import Path

from penstock.errors import ConfigurationError
from penstock.settings import Settings
from penstock.wire.signature import SigningKeys, parse_keys


def publishing_keys(settings: Settings) -> SigningKeys | None:
    """What signs; None if updates are not signed. Raises `ConfigurationError`."""
    return _read("publish.signing_key_file", settings.publish.signing_key_file)


def serving_keys(settings: Settings) -> SigningKeys | None:
    """What updates must be signed with; None if any update is taken. Raises `ConfigurationError`."""
    return _read("serving.signing_key_file", settings.serving.signing_key_file)


def _read(name: str, path: str) -> SigningKeys | None:
    if not path:
        return None
    try:
        return parse_keys(Path(path).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{name} is {path!r}, which cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigurationError(f"{name} is {path!r}: {error}.") from None
