"""Where models are recorded for people."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from penstock.credentials import without_credentials
from penstock.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class MlflowConfig:
    """The `[mlflow]` section."""

    tracking_uri: str = field(default="sqlite:///state/mlflow.db", repr=False)
    """A database of our own (with its artifacts in a folder beside it) or the address of an MLflow server."""
    experiment: str = "penstock"
    record_interval_seconds: float = 10.0
    """The newest announced weights are recorded this often, if they are new."""
    report_interval_seconds: float = 60.0
    """The report is drawn anew this often, when a version is recorded; 0: never."""
    timeout_seconds: int = 10
    """Of one HTTP request to the server."""
    enabled: bool = True
    """False records nothing: weights must then fit inline, and a lost state folder starts over."""

    def __post_init__(self) -> None:
        if not self.record_interval_seconds > 0:
            raise ConfigurationError(
                f"mlflow.record_interval_seconds is {self.record_interval_seconds}; it must be above 0."
            )
        if not self.report_interval_seconds >= 0:
            raise ConfigurationError(
                f"mlflow.report_interval_seconds is {self.report_interval_seconds}; it must be 0 or more."
            )
        if self.timeout_seconds < 1:
            raise ConfigurationError(f"mlflow.timeout_seconds is {self.timeout_seconds}; it must be at least 1.")
        if urlsplit(self.tracking_uri).scheme not in ("sqlite", "http", "https"):
            raise ConfigurationError(
                f"mlflow.tracking_uri is {self.shown_uri!r}; use sqlite:///path.db or the http(s) address of a server."
            )

    @property
    def shown_uri(self) -> str:
        """The tracking URI without user and password, for logs."""
        return without_credentials(self.tracking_uri)
