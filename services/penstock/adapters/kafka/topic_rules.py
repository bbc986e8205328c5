"""What each of a model's topics must be: the settings it is made with, and a check of those it has, in sentences."""

from collections.abc import Mapping

DAY_MS = 24 * 60 * 60 * 1000

Settings = Mapping[str, str]
Verdict = tuple[bool, str]

UPDATES: Settings = {
    # Ten updates of half a megabyte a second fill a segment in ten seconds; the cleaner, every 15 s, then leaves one.
    "cleanup.policy": "compact",
    "segment.bytes": str(64 * 1024 * 1024),
    "segment.ms": str(10 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
    "max.message.bytes": str(8 * 1024 * 1024),
}
DEAD_LETTERS: Settings = {
    # A message as large as the label topic takes must still fit with its headers.
    "cleanup.policy": "delete",
    "retention.ms": str(14 * DAY_MS),
    "max.message.bytes": str(2 * 1024 * 1024),
}
LEAST_SEGMENT_MS = 60 * 1000


def predictions_settings(window_seconds: float) -> Settings:
    """Of a prediction topic whose predictions are joined to labels that come up to so much later.

    They are kept as long again, for a trainer that was away; and brokers stamp them, so that a label finds the same
    prediction whenever it is read.
    """
    window_ms = round(window_seconds * 1000)
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(2 * window_ms),
        "segment.ms": str(max(window_ms // 4, LEAST_SEGMENT_MS)),
        "message.timestamp.type": "LogAppendTime",
    }


def update_topic_problem(num_partitions: int, settings: Settings | None, topic: str) -> str | None:
    """Why this cannot be an update topic, as a sentence; None if it can. Unknown settings count as right."""
    if num_partitions != 1:
        return (
            f"The update topic {topic!r} has {num_partitions} partitions; it must have exactly 1, for the last "
            "claim in it to be the last. Delete it and run `penstock topics create`."
        )
    policy = (settings or UPDATES).get("cleanup.policy", "")
    if "compact" not in policy.split(","):
        return (
            f"The update topic {topic!r} has cleanup.policy={policy}; it must be compact, or the newest model "
            "vanishes when it gets old. Give it cleanup.policy=compact."
        )
    return None


def check_labels(topic: str, num_partitions: int, settings: Settings | None) -> Verdict:
    """Of the label topic: whether it will do, and a sentence for a person; None are settings that cannot be read."""
    if settings is not None and "compact" in settings.get("cleanup.policy", "").split(","):
        return False, f"{topic} is compacted: events vanish before they are learnt. Set cleanup.policy=delete."
    return True, f"{topic} has {counted(num_partitions)}; events are kept {_retention(settings)}."


def check_updates(topic: str, num_partitions: int, settings: Settings | None) -> Verdict:
    """As `check_labels`, of the update topic."""
    problem = update_topic_problem(num_partitions, settings, topic)
    if problem is not None:
        return False, problem
    if settings is None:
        return True, f"{topic} has 1 partition; whether it is compacted cannot be read from this broker."
    largest = int(settings.get("max.message.bytes", 0))
    return True, f"{topic} has 1 partition, is compacted, and takes updates of up to {largest:,} bytes."


def check_dead_letters(topic: str, num_partitions: int, settings: Settings | None) -> Verdict:
    """As `check_labels`, of the dead-letter topic."""
    if settings is not None and "compact" in settings.get("cleanup.policy", "").split(","):
        return False, f"{topic} is compacted: it refuses messages without a key. Set cleanup.policy=delete."
    return True, f"{topic} has {counted(num_partitions)}; dead letters are kept {_retention(settings)}."


def check_predictions(window_seconds: float, topic: str, num_partitions: int, settings: Settings | None) -> Verdict:
    """As `check_labels`, of the prediction topic, in which late labels find their predictions for so long."""
    known = settings or predictions_settings(window_seconds)
    if "compact" in known.get("cleanup.policy", "").split(","):
        return False, f"{topic} is compacted: it keeps predictions without end. Set cleanup.policy=delete."
    retention_ms = int(known.get("retention.ms", -1))
    if 0 <= retention_ms < window_seconds * 1000:
        return False, (
            f"{topic} keeps predictions {_retention(settings)}, shorter than intake.late_labels.window_seconds "
            f"({window_seconds:g}): late labels would find them gone. Raise retention.ms."
        )
    if known.get("message.timestamp.type") != "LogAppendTime":
        return False, (
            f"{topic} has message.timestamp.type={known.get('message.timestamp.type')}: a label read again could find "
            "another prediction. Set message.timestamp.type=LogAppendTime."
        )
    return True, f"{topic} has {counted(num_partitions)}; predictions are kept {_retention(settings)}."


def counted(number: int, what: str = "partition") -> str:
    """`1 partition`, `2 partitions`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _retention(settings: Settings | None) -> str:
    """How long messages stay, in words."""
    if settings is None:
        return "as long as the broker decides (its settings cannot be read)"
    milliseconds = int(settings.get("retention.ms", -1))
    largest = int(settings.get("retention.bytes", -1))
    limit = f", at most {largest:,} bytes a partition" if largest >= 0 else ""
    if milliseconds < 0:
        return f"without end{limit}"
    days = milliseconds / DAY_MS
    return f"{days:.3g} days{limit}" if days >= 1 else f"{milliseconds / 3_600_000:.3g} hours{limit}"
