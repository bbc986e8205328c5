"""Every connection is an open file, and many systems let a process open 1,024 unless it asks for more."""

import resource

import structlog

ENOUGH = 4096
MOST = 1_048_576
"""Some systems have no limit, and count up to it."""

log = structlog.get_logger(__name__)


def allow_many() -> int:
    """Raise this process's limit as far as it may; returns it. A low one is warned about."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft != resource.RLIM_INFINITY and soft < ENOUGH:
        log.warning(
            "few connections possible",
            sentence=f"This process may open {soft} files, and every connection is one; connections beyond that are "
            f"closed at once. Let it open more: ulimit -n {ENOUGH}, or LimitNOFILE= of its unit.",
        )
    return soft
