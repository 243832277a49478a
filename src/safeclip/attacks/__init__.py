"""Attacks on a training set: what is planted, where, and what stood there before.

A planted pair replaces one that the data holds, so lengths and uids never change. The data on disk stays as it is:
a `Manifest` is applied while reading, after decoding.
"""

from safeclip.attacks.backdoor import plan_badnets
from safeclip.attacks.manifest import Manifest, Planted
from safeclip.attacks.targeted import plan_targeted
from safeclip.attacks.triggers import TRIGGERS, Trigger, badnets

__all__ = ["TRIGGERS", "Manifest", "Planted", "Trigger", "badnets", "plan_badnets", "plan_targeted"]
