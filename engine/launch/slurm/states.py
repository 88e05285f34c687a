"""What Slurm's words for a job mean for the run in it."""

from __future__ import annotations

from dataclasses import dataclass

WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"})
HELD_BY_USER = "JobHeldUser"
CANCELLED = "CANCELLED"

_MEMORY = (
    "Raise resources.slurm.memory; or lower training.batch_sequences and raise training.accumulate by the same factor "
    "(or lower evaluate.batch_tokens); then launch or retry it."
)
_TIME = "Raise resources.slurm.time, or lower training.checkpoint_every_s; then launch or retry it."


@dataclass(frozen=True)
class Ending:
    """How a job ended that says nothing itself."""

    words: str
    """Completes "the Slurm job …"."""
    hint: str = ""
    blameless: bool = False
    """Whether the cluster took the node away: the run may try again as often as that happens."""


ENDED = {
    "COMPLETED": Ending("ended without saying how the run ended"),
    "FAILED": Ending("failed"),
    CANCELLED: Ending("was cancelled"),
    "TIMEOUT": Ending("reached its time limit", _TIME),
    "DEADLINE": Ending("could not end before its deadline", _TIME),
    "PREEMPTED": Ending("was preempted", blameless=True),
    "NODE_FAIL": Ending("lost its node", blameless=True),
    "BOOT_FAIL": Ending("got a node that did not start", blameless=True),
    "LAUNCH_FAILED": Ending("could not be started on its node", blameless=True),
    "OUT_OF_MEMORY": Ending("was ended for want of memory", _MEMORY),
    "REVOKED": Ending("was taken over by another cluster"),
}
"""States after which nothing comes. Any other that is no waiting one runs: nothing is concluded from a word unknown."""

_REASONS = {
    "Priority": "others go first (Priority)",
    "Resources": "no free nodes (Resources)",
    HELD_BY_USER: "held in Slurm (JobHeldUser)",
    "JobHeldAdmin": "held by an administrator (JobHeldAdmin)",
    "JobArrayTaskLimit": "as many as may run at once do (JobArrayTaskLimit)",
    "BeginTime": "to start a little later (BeginTime)",
    "Dependency": "it depends on another job (Dependency)",
    "launch failed requeued held": "it could not be started on its node, and is held (launch failed requeued held)",
}


def explain_waiting(reason: str) -> str:
    """Why a job waits: Slurm's word, with others for the commonest."""
    return _REASONS.get(reason, reason)
