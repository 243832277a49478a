"""Attacks on a training set: what is planted, where, and what stood there before.

A planted pair replaces one that the data holds, so lengths and uids never change. The data on disk stays as it is:
a `Manifest` is applied while reading, after decoding. `catalog` has every attack by name.
"""

from safeclip.attacks.backdoor import plan_backdoor
from safeclip.attacks.catalog import ATTACKS, Attack, plan
from safeclip.attacks.manifest import Manifest, Planted
from safeclip.attacks.targeted import plan_targeted
from safeclip.attacks.trigger import Trigger
from safeclip.attacks.triggers import TRIGGERS

__all__ = ["ATTACKS", "TRIGGERS", "Attack", "Manifest", "Planted", "Trigger", "plan", "plan_backdoor", "plan_targeted"]
