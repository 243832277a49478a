"""The runs that a bench takes, in order: seed by seed, attack by attack, plain CLIP before what is compared with it.

    id = hash of everything that shapes the run: settings, attacks and their parameters, data, and what it starts from

What must stay true: labels of methods, folders and what only costs time are not in it; a setting that a later version
adds does not make an old result another one, so long as it stands at its default (`Cell.made`).
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from safeclip.attacks.catalog import check_attack
from safeclip.bench.spec import BASELINE, NO_ATTACK, AttackSpec, MethodSpec, Spec, group_title
from safeclip.bench.spec_file import bare
from safeclip.config import METHOD_NAMES, DataConfig, RunConfig, override, to_dict
from safeclip.data.pairs import Source
from safeclip.data.same import same_pictures
from safeclip.data.sources import open_pairs, said_with_format
from safeclip.errors import InputError
from safeclip.presets import preset

_UNSEEN = (
    "preset",
    "manifest",
    "evaluate",
    "tensorboard",
    "checkpoint_minutes",
    "keep_checkpoints",
    "data.spec",
    "data.image_root",
    "data.workers",
    "data.cache_mib",
)
"""Settings that do not shape a run, or that `data` and `attack` say in its place."""
_LENT = "the weights of {}"
_MISSING = object()


@dataclass(frozen=True, eq=False)
class Cell:
    """One run of a bench.

    attacks: planted together in it, () for none. config: what it trains with; `manifest`, and `model.weights` where it
    starts from another run, are filled in once these exist. poisoned: the split that the attacks are planned on. start:
    the run that lends its weights. shape: dotted name -> plain value of everything that shapes it. usual: the default
    of those that have one.
    """

    bench: str
    attacks: tuple[AttackSpec, ...]
    group: str
    method: MethodSpec
    seed: int
    config: RunConfig
    poisoned: str
    start: Cell | None
    shape: dict[str, Any]
    usual: dict[str, Any]

    @cached_property
    def id(self) -> str:
        text = json.dumps(self.shape, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def baseline(self) -> bool:
        return self.method.title == BASELINE

    @property
    def title(self) -> str:
        return f"seed {self.seed}, {self.group}, {self.method.title}"

    def ancestors(self) -> list[Cell]:
        """The run that it starts from, the one that this starts from, and so on."""
        return [] if self.start is None else [self.start, *self.start.ancestors()]

    def made(self, shape: dict[str, Any]) -> bool:
        """Whether a run of that shape is this one. What it does not name counts as standing at its default; older
        shapes name the sections of other methods too, which no run reads."""
        others = of_others(self.config.method)
        shape = {name: value for name, value in shape.items() if not name.startswith(others)}
        return shape.keys() <= self.shape.keys() and all(
            shape.get(name, self.usual.get(name, _MISSING)) == value for name, value in self.shape.items()
        )


def grid(spec: Spec) -> list[Cell]:
    """The cells of `spec`, in the order in which they are worth running. Opens the data, trains nothing.

    Raises InputError on unknown attacks, parameters or settings, and on data that is not there.
    """
    for attack in (attack for group in spec.attacks for attack in group if attack.name != NO_ATTACK):
        _check_params(attack)
    configs = {method.title: _config(spec, method) for method in spec.every_method()}
    seen: dict[DataConfig, Source] = {}
    data = {title: _data(config.data, spec.data.split, seen) for title, config in configs.items()}
    cells: list[Cell] = []
    for seed in spec.seeds:
        for group in spec.attacks:
            attacks = tuple(attack for attack in group if attack.name != NO_ATTACK)
            placed: dict[str, Cell] = {}
            for method in spec.every_method():
                config = override(configs[method.title], {"seed": seed})
                start = placed[method.starts_from] if method.starts_from is not None else None
                placed[method.title] = Cell(
                    bench=spec.name,
                    attacks=attacks,
                    group=group_title(group),
                    method=method,
                    seed=seed,
                    config=config,
                    poisoned=spec.data.split,
                    start=start,
                    shape=_settings(config, start) | data[method.title] | _given(attacks) | _of_start(start, "shape"),
                    usual=_settings(RunConfig(), start) | _usual(attacks) | _of_start(start, "usual"),
                )
            cells += placed.values()
    return cells


def flat(values: dict[str, Any], under: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        out |= flat(value, f"{under}{name}.") if isinstance(value, dict) else {under + name: value}
    return out


def of_others(method: str) -> tuple[str, ...]:
    """What the settings of the other methods' sections begin with."""
    return tuple(f"{name}." for name in METHOD_NAMES if name != method)


def _config(spec: Spec, method: MethodSpec) -> RunConfig:
    own = {
        "method": method.method,
        "manifest": None,
        "evaluate": False,
        "keep_checkpoints": 1,
        "data.spec": spec.data.spec,
        "data.split": method.train_on or spec.data.split,
        "data.eval_split": spec.data.eval_split,
    }
    if method.starts_from is not None:
        own["model.weights"] = _LENT.format(method.starts_from)
    try:
        return override(preset(spec.preset), spec.set | method.set | own)
    except InputError as error:
        raise InputError(f"method {method.title}: {error}") from None


def _settings(config: RunConfig, start: Cell | None) -> dict[str, Any]:
    """What of a config shapes a run. A method reads no other's section."""
    unseen = {*_UNSEEN, *(("model.weights",) if start is not None else ())}
    others = of_others(config.method)
    return {k: v for k, v in bare(flat(to_dict(config))).items() if k not in unseen and not k.startswith(others)}


def _data(data: DataConfig, poisoned: str, seen: dict[DataConfig, Source]) -> dict[str, Any]:
    """Name of the data, and marks of what its splits hold. seen: splits that were opened before.

    Raises InputError where two of them hold the same pictures, as those of data without splits do.
    """
    marks: dict[str, Any] = {"data.name": said_with_format(data.spec)}
    held: dict[str, Source] = {}
    for use, split in (("poisoned", poisoned), ("trained", data.split), ("evaluated", data.eval_split)):
        part = replace(data, split=split)
        if part not in seen:
            seen[part] = open_pairs(part)
        held[split] = source = seen[part]
        marks[f"data.{use}"] = [split, len(source), source.fingerprint]
    for one, other in itertools.combinations(held, 2):
        if same_pictures(held[one], held[other]):
            raise InputError(f"data {data.spec}: {other!r} holds the pictures of {one!r}; give data with splits")
    return marks


def _given(attacks: tuple[AttackSpec, ...]) -> dict[str, Any]:
    """Name and every parameter of each attack, by its label; and of several their order, since the first takes its
    pairs first."""
    out: dict[str, Any] = _order(attacks)
    for attack in attacks:
        out |= {f"attack.{attack.title}": attack.name} | _params(attack, attack.params)
    return out


def _usual(attacks: tuple[AttackSpec, ...]) -> dict[str, Any]:
    """The parameters' defaults."""
    return _order(attacks) | {name: value for attack in attacks for name, value in _params(attack, {}).items()}


def _order(attacks: tuple[AttackSpec, ...]) -> dict[str, Any]:
    return {"attacks": [attack.title for attack in attacks]} if len(attacks) > 1 else {}


def _params(attack: AttackSpec, params: dict[str, Any]) -> dict[str, Any]:
    settled = check_attack(attack.name).settled(params)
    return flat(bare(settled), f"attack.{attack.title}.")


def _of_start(start: Cell | None, part: Literal["shape", "usual"]) -> dict[str, Any]:
    """The same of the run that it starts from."""
    return {} if start is None else flat(getattr(start, part), "start.")


def _check_params(attack: AttackSpec) -> None:
    try:
        check_attack(attack.name).settled(attack.params)
    except InputError as error:
        raise InputError(f"attacks: {error}") from None
