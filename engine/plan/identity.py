"""What a run is called: a readable name, and an identifier that ends in a key of the run's content."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.spec.run import RUN_FORMAT
from engine.spec.strict import content_key

if TYPE_CHECKING:
    from engine.spec.run import Job


def identify(name: str, job: Job, seed: int = 0, needs: Sequence[str] | None = None) -> tuple[str, str]:
    """The name as it may stand in a path, and the identifier.

    The key is of job, seed and format, so that the same work has the same identifier whoever plans it; of ``needs``
    too, where what a run does depends on which runs it reads.
    """
    readable = re.sub(r"[^A-Za-z0-9._=+,-]+", "_", name)[:120]
    identity = [RUN_FORMAT, job.kind, job.essence(), seed, *([] if needs is None else [list(needs)])]
    return readable, f"{readable}-{content_key(identity, 8)}"
