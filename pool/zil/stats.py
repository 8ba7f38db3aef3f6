"""What the intent logs of a pool have done since it was opened."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class ZilStats:
    """Counters.

    Attributes:
        callers: requests to make something durable. commits: how many times a log was written or a txg waited for to
            serve them; one serves all who wait. idle: of these, those that found nothing to be done.
        txgs: commits that waited for a txg: a log began, or could not hold what was asked for. failures: of these,
            those after a device failed or the pool was full.
        records, blocks: written. copied: bytes of data in records. indirect: bytes of blocks that records point to.
        bytes_log, bytes_normal: bytes of log blocks on log devices, and on others.
    """

    callers: int = 0
    commits: int = 0
    idle: int = 0
    txgs: int = 0
    failures: int = 0
    records: int = 0
    blocks: int = 0
    copied: int = 0
    indirect: int = 0
    bytes_log: int = 0
    bytes_normal: int = 0

    @property
    def callers_per_commit(self) -> float:
        """How many requests one commit serves, on average; 0: none was made."""
        return self.callers / self.commits if self.commits else 0.0

    def facts(self) -> dict[str, int | float]:
        """All of it, by name, for JSON."""
        return {**asdict(self), "callers_per_commit": round(self.callers_per_commit, 3)}
