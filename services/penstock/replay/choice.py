"""The policy that the configuration names."""

from penstock.replay.class_balanced import ClassBalancedPolicy
from penstock.replay.config import ReplayConfig
from penstock.replay.keyed import Key, KeyedPolicy
from penstock.replay.policy import ReplayPolicy
from penstock.replay.recency import RecencyKey
from penstock.replay.uniform import UniformKey
from penstock.replay.window import WindowKey


def empty_policy(config: ReplayConfig, capacity: int) -> ReplayPolicy:
    """One that keeps nothing yet, of at most `capacity` events."""
    if config.policy == "class_balanced":
        return ClassBalancedPolicy(capacity)
    keys: dict[str, Key] = {
        "uniform": UniformKey(),
        "recency": RecencyKey(config.half_life_events),
        "window": WindowKey(),
    }
    return KeyedPolicy(capacity, keys[config.policy])
