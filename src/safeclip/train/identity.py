"""What a checkpoint has to share with the run that goes on from it.

Of another batch size, or as many epochs as were not reckoned with, its place in the plan and the steps that it counted
would mean something else: pairs would be read twice or never, and a schedule end half-way.
"""

from __future__ import annotations

from safeclip.config import RunConfig


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
