"""URIs of weights, taken apart, so that it can be said which a replica may read."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, kw_only=True)
class Location:
    """An artifact URI in parts, normalised: two spellings of one place are equal."""

    scheme: str
    host: str
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, uri: str) -> "Location":
        """Take a URI apart.

        Raises:
            ValueError: it has no scheme, steps upwards, or hides a character that some store would read as a step.
        """
        split = urlsplit(uri)
        path = unquote(split.path, errors="strict")
        parts = tuple(part for part in path.split("/") if part)
        if not split.scheme or split.query or split.fragment or not path.startswith("/"):
            raise ValueError("it is not of the form scheme:/path or scheme://host/path")
        if any(part in (".", "..") for part in parts) or any(sign in path for sign in "%\\") or not path.isprintable():
            raise ValueError("its path holds '.', '..', '%', '\\' or a control character")
        host = "" if split.scheme == "file" and split.netloc == "localhost" else split.netloc
        return cls(scheme=split.scheme, host=host, parts=parts)

    def is_within(self, prefix: "Location") -> bool:
        """True if it lies below the prefix: same scheme, same host, whole path segments."""
        below = self.parts[: len(prefix.parts)] == prefix.parts and len(self.parts) > len(prefix.parts)
        return below and (self.scheme, self.host) == (prefix.scheme, prefix.host)

    @property
    def path(self) -> Path:
        """As a file of this machine."""
        return Path("/", *self.parts)
