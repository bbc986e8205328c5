"""All faults, in the order of the table in docs/reliability.md."""

from torture.bad_updates import BAD_UPDATES
from torture.broker_away import BROKER_AWAY
from torture.clocks import CLOCKS
from torture.damaged_checkpoints import DAMAGED_CHECKPOINT, DAMAGED_FILES
from torture.fault import Fault
from torture.full_disk import DISK_ERRORS, FULL_DISK_GOES_ON, FULL_DISK_PAUSES
from torture.kill_at_named_points import KILL_AT_NAMED_POINTS
from torture.kill_at_random import KILL_AT_RANDOM
from torture.many_trainers import TEN_TRAINERS, TWO_TRAINERS
from torture.mlflow_away import MLFLOW_AWAY
from torture.overload import OVERLOAD
from torture.partitions_added import PARTITIONS_ADDED
from torture.poison import POISON
from torture.repeated_events import REPEATED_EVENTS
from torture.replicas import REPLICA_DRIPPING, REPLICA_KILLED, REPLICA_STOPPED
from torture.retention_hole import RETENTION_HOLE
from torture.soak import SOAK
from torture.stopping import STOPPING
from torture.topic_made_anew import TOPIC_MADE_ANEW
from torture.zombie import ZOMBIE

FAULTS: tuple[Fault, ...] = (
    KILL_AT_NAMED_POINTS,
    KILL_AT_RANDOM,
    ZOMBIE,
    TWO_TRAINERS,
    TEN_TRAINERS,
    BROKER_AWAY,
    RETENTION_HOLE,
    TOPIC_MADE_ANEW,
    PARTITIONS_ADDED,
    FULL_DISK_GOES_ON,
    FULL_DISK_PAUSES,
    DISK_ERRORS,
    DAMAGED_FILES,
    DAMAGED_CHECKPOINT,
    MLFLOW_AWAY,
    BAD_UPDATES,
    POISON,
    REPEATED_EVENTS,
    CLOCKS,
    REPLICA_KILLED,
    REPLICA_STOPPED,
    REPLICA_DRIPPING,
    OVERLOAD,
    STOPPING,
    SOAK,
)
