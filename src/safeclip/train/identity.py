"""What a checkpoint has to share with the run that goes on from it, and ranks with each other.

Of another batch size, or as many epochs as were not reckoned with, its place in the plan and the steps that it counted
would mean something else: pairs would be read twice or never, and a schedule end half-way.
"""

from __future__ import annotations

from safeclip.config import RunConfig
from safeclip.errors import InputError
from safeclip.train import distributed


def identity(config: RunConfig, fingerprint: str) -> dict[str, str]:
    """By the name of each, for a person. fingerprint: of the data."""
    return {
        "method": config.method,
        "model.name": config.model.name,
        "seed": str(config.seed),
        "data": f"{config.data.spec} (fingerprint {fingerprint})",
        "optim.batch_size": str(config.optim.batch_size),
        "epochs": str(config.epochs),
    }


def agreed(plan: str, begun: str, where: str) -> str:
    """The plan of an epoch that all ranks have. Both are digests; begun: of the one that a checkpoint from inside the
    epoch counted, "" where there is none. Raises RunError where ranks differ, InputError where it is another."""
    distributed.agree("another plan", plan)
    if begun not in (plan, ""):
        raise InputError(
            f"{where}: its batches are no longer those that the checkpoint counted, as where data.shard_window was "
            "changed; set it back to what it was"
        )
    return plan
