"""The parts of a server that all adapters share: limits, numbers, and verdicts on the identities of users."""

from .reception import (  # noqa: F401  some were exported before, and can still be imported
    AFTER_KILL,
    BREATHER,
    FULL,
    GRACE,
    LOG,
    OUT_OF_SOMETHING,
    UNDECIDED,
    AsyncIdentify,
    BaseServer,
    Connection,
    Identify,
    Metrics,
    ServerLimits,
    most_bytes,
    say,
    verdict_of,
)

__all__ = [
    "AsyncIdentify",
    "GRACE",
    "Identify",
    "LOG",
    "Metrics",
    "ServerLimits",
    "most_bytes",
]
