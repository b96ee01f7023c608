"""Resource samples: one row for each interval in which a process executed runs."""

from dataclasses import asdict

from swarmtally.domain.resources import ResourceSample
from swarmtally.store.connection import Connection


async def insert(tx: Connection, sample: ResourceSample) -> None:
    figures = {**asdict(sample.use), **asdict(sample.spent)}
    values = {
        "at_ns": sample.at_ns,
        "project": sample.project,
        "owner": sample.owner,
        "interval_ns": sample.interval_ns,
        **figures,
        "lag_ns": sample.lag_ns,
        "calls": sample.calls,
    }
    await tx.rows(
        f"INSERT INTO resource_sample ({', '.join(values)}) VALUES ({', '.join(f':{name}' for name in values)})", values
    )
