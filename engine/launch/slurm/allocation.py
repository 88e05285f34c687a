"""Where in a cluster this process runs, as Slurm tells those that it starts."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

_FIRST_PORT, _PORTS = 12_000, 8_000


@dataclass(frozen=True)
class Allocation:
    """A job's place on the cluster."""

    job: str
    """``1234_5`` for a place of an array, else ``1234``."""
    number: int
    """Slurm's own number of the job, which differs from place to place."""
    index: int
    """Its place in the array; 0 without one."""
    nodes: str
    """``n[1-2]``."""

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> Allocation | None:
        """Where this process is; None outside of a Slurm job."""
        if "SLURM_JOB_ID" not in environment:
            return None
        number = environment["SLURM_JOB_ID"]
        array, place = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
        job = f"{array}_{place}" if array and place else number
        return cls(job, int(number), int(place or 0), environment.get("SLURM_JOB_NODELIST", ""))

    def fields(self) -> dict[str, object]:
        """What the event ``starting`` says of it."""
        return {"slurm": {"job": self.job, "nodes": self.nodes}}

    def endpoint(self) -> str:
        """HOST:PORT where the processes of a job meet: its first node, a port of its own."""
        return f"{socket.gethostname()}:{_FIRST_PORT + self.number % _PORTS}"
