"""All faults, in the order of the table in docs/reliability.md."""

from torture.fault import Fault
from torture.many_trainers import TEN_TRAINERS, TWO_TRAINERS

FAULTS: tuple[Fault, ...] = (
    TWO_TRAINERS,
    TEN_TRAINERS,
)
