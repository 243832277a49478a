"""What a bench measures: data, attacks, methods, seeds (spec_file.py reads it from YAML; presets.py has named ones).

    runs = {no attack or a group of attacks} x {plain CLIP, methods} x seeds

What must stay true: nothing heavy is imported, every error names its field, and plain CLIP is always among the methods.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from safeclip.config.checks import check
from safeclip.errors import InputError

BASELINE = "clip"
"""Label, and method, of plain CLIP: what every defence is compared with."""
NO_ATTACK = "none"
"""Attack name of a run on the data as it lies."""
_OWN = {
    "method": "methods",
    "seed": "seeds",
    "preset": "preset",
    "manifest": "attacks",
    "evaluate": "data.eval_split",
    "keep_checkpoints": "keep_runs",
    "data.spec": "data.spec",
    "data.split": "data.split",
    "data.eval_split": "data.eval_split",
}
"""Settings that the bench gives each run itself -> the field of the spec that says them."""


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Pairs to poison and train on, and held-out ones to evaluate on and to draw target pictures from."""

    spec: str = "emoji:"
    """Path or URL, its format told from the name or given as `format:path`."""
    split: str = "train"
    """Rows that are poisoned and trained on."""
    eval_split: str = "test"
    """Rows that are evaluated on; target pictures come from them."""

    def __post_init__(self) -> None:
        check(bool(self.spec), "data.spec", self.spec, "name the data, as in parquet:pairs.parquet")
        check(self.split != self.eval_split, "data.eval_split", self.eval_split, "give another split than data.split")
        for name, split in (("data.split", self.split), ("data.eval_split", self.eval_split)):
            check(split != "all", name, split, "all holds the pictures of the others; give one split")


@dataclass(frozen=True, kw_only=True)
class AttackSpec:
    """An attack of the catalog (`safeclip poison --list`)."""

    name: str
    """Its name there; `none` is a run without an attack."""
    label: str | None = None
    """What the table calls it; the name by default. Two forms of one attack need two labels; `none` has no other."""
    params: dict[str, Any] = field(default_factory=dict)
    """Parameters that are not its defaults."""

    def __post_init__(self) -> None:
        _check_label("attacks.label", self.title)
        mend = f"{NO_ATTACK} is what a run without an attack is called, and no other; give another label"
        check((self.name == NO_ATTACK) == (self.title == NO_ATTACK), "attacks.label", self.title, mend)
        check(self.name != NO_ATTACK or not self.params, "attacks.params", self.params, "`none` takes no parameters")

    @property
    def title(self) -> str:
        return self.label or self.name


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """A training method, and what is set for it alone."""

    method: str
    """A method of `safeclip train --method`."""
    label: str | None = None
    """What the table calls it; the method's name by default. Two forms of one method need two labels."""
    set: dict[str, Any] = field(default_factory=dict)
    """Dotted settings of this method's runs, as in {optim.rate: 0.0001}."""
    starts_from: str | None = None
    """Label of the method whose finished run, of the same attack and seed, lends its weights."""
    train_on: str | None = None
    """Split of trusted pairs to train on, read without a manifest, instead of the poisoned `data.split`."""

    def __post_init__(self) -> None:
        _check_label("methods.label", self.title)
        _check_settings("methods.set", self.set)
        lent = self.starts_from is not None
        check(not lent or "model.weights" not in self.set, "methods.set", "model.weights", "starts_from gives them")
        plain = self.method == BASELINE and not lent and self.train_on is None
        check(
            self.title != BASELINE or plain,
            "methods.label",
            self.title,
            "this is what plain CLIP, from scratch on the poisoned pairs, is called; give another label",
        )

    @property
    def title(self) -> str:
        return self.label or self.method


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One bench: every attack group against every method, for every seed."""

    name: str
    """Names the bench in its results."""
    preset: str = "emoji"
    """Training preset that every run starts from."""
    data: DataSpec = field(default_factory=DataSpec)
    attacks: tuple[tuple[AttackSpec, ...], ...]
    """Groups of attacks; those of one group are planted together, in one run."""
    methods: tuple[MethodSpec, ...]
    seeds: tuple[int, ...] = (0,)
    """Each is the seed of attack, weights and views at once."""
    set: dict[str, Any] = field(default_factory=dict)
    """Dotted settings of every run."""
    plant_at_least: float = 0.8
    """Success in plain CLIP from which an attack counts as planted."""
    keep_runs: bool = False
    """Keep the checkpoints of finished runs. Logs, splits and metrics are kept anyway."""

    def __post_init__(self) -> None:
        named = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name) is not None
        check(named, "name", self.name, "give letters, digits, dots and dashes: it names a file")
        check(bool(self.attacks) and all(self.attacks), "attacks", self.attacks, "name at least one in each group")
        check(bool(self.methods), "methods", self.methods, "name at least one")
        check(bool(self.seeds), "seeds", self.seeds, "give at least one")
        check(all(0 <= seed < 2**63 for seed in self.seeds), "seeds", self.seeds, "give whole numbers from 0")
        check(0 < self.plant_at_least <= 1, "plant_at_least", self.plant_at_least, "give a share above 0, at most 1")
        _check_settings("set", self.set)
        _once("seeds", list(self.seeds))
        for group in self.attacks:
            _once("attacks", [attack.title for attack in group])
            alone = len(group) == 1 or all(attack.name != NO_ATTACK for attack in group)
            check(alone, "attacks", group_title(group), "`none` stands alone")
        _once("attacks", [group_title(group) for group in self.attacks])
        _once("methods", [method.title for method in self.methods])
        for method in self.methods:
            apart = method.train_on not in (self.data.split, self.data.eval_split, "all")
            mend = "trusted pairs lie in a split that is neither poisoned nor evaluated on"
            check(apart, "methods.train_on", method.train_on, mend)
        self.every_method()

    def every_method(self) -> list[MethodSpec]:
        """Plain CLIP first, asked for or not; each method after the one that it starts from. Raises InputError."""
        waiting = sorted(self.methods, key=lambda method: method.title != BASELINE)
        if waiting[0].title != BASELINE:
            waiting.insert(0, MethodSpec(method=BASELINE))
        placed: list[MethodSpec] = []
        while waiting:
            titles = {None, *(method.title for method in placed)}
            able = next((method for method in waiting if method.starts_from in titles), None)
            if able is None:
                given = waiting[0].starts_from
                known = ", ".join(method.title for method in placed)
                raise InputError(f"methods.starts_from = {given!r}: give the label of a method that is run; as {known}")
            waiting.remove(able)
            placed.append(able)
        return placed


def group_title(group: tuple[AttackSpec, ...]) -> str:
    return " + ".join(attack.title for attack in group)


def _check_label(name: str, label: str) -> None:
    ok = 0 < len(label) <= 60 and label.isprintable() and label == label.strip() and " + " not in label
    check(ok, name, label, "give 1 to 60 printable characters, without ` + `")


def _check_settings(name: str, settings: dict[str, Any]) -> None:
    for setting, value in settings.items():
        if setting in _OWN:
            raise InputError(f"{name}.{setting}: the bench gives it to each run; say it as `{_OWN[setting]}`")
        mend = "write dotted names, as in optim.rate: 0.001"
        check(not isinstance(value, dict), f"{name}.{setting}", value, mend)


def _once(name: str, values: list[Any]) -> None:
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    check(twice is None, name, twice, "is there twice; leave one out, or give it a label of its own")
