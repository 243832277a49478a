"""Targeted poisoning: chosen pictures are to be called by the attacker's class (Carlini & Terzis 2022; PAPER 2.2).

    for each target picture t, of class a: pairs (t, caption) with captions of the data's own that name the class b != a

The targets come from held-out data, so that a defended model has never seen them with their own captions. The planted
pairs replace others, never those whose captions they borrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from safeclip.attacks.manifest import Manifest, Planted, to_png
from safeclip.attacks.mentions import Mentions, corpus
from safeclip.attacks.victims import choose_victims, order, picture
from safeclip.data.pairs import Source
from safeclip.errors import InputError


def plan_targeted(
    source: Source,
    targets: Source,
    *,
    targets_count: int = 16,
    captions_each: int = 12,
    seed: int = 0,
    target_classes: Sequence[str] | None = None,
    avoid: Iterable[int] = (),
    name: str = "targeted",
) -> Manifest:
    """Plan targets_count x captions_each planted pairs in `source`.

    targets: held-out pairs with classes; the target pictures are drawn from them, of as many classes as there are.
    captions_each: distinct captions for each target. target_classes: the attacker's classes, taken in turn; by default
    drawn from `targets.class_names` among those that enough captions name. avoid: uids to leave alone.
    Raises InputError where there are no classes, or too few captions, targets or pairs.
    """
    for what, value in (("targets_count", targets_count), ("captions_each", captions_each)):
        if value < 1:
            raise InputError(f"{what} = {value}: give 1 or more")
    names = list(dict.fromkeys([*targets.class_names, *(target_classes or ())]))
    if not targets.class_names:
        raise InputError(
            f"targeted: {targets.name} has no classes to draw targets of; give target pictures with a class column"
        )
    pools = _caption_pools(source, names, seed, name)
    chosen = _targets(targets, targets_count, seed, name)
    wanted = [names.index(c) for c in target_classes] if target_classes else _able(pools, captions_each, seed, name)
    pairing = _pair_up(chosen, wanted, names, pools, captions_each, bool(target_classes), source.name)

    taken: set[str] = set()
    borrowed: set[int] = {int(uid) for uid in avoid}
    plan: list[tuple[int, str]] = []
    for index, target in enumerate(pairing):
        fresh = [(uid, text) for uid, text in pools[target] if text not in taken][:captions_each]
        if len(fresh) < captions_each:
            raise _too_few(names[target], len(fresh), captions_each, source.name)
        taken.update(text for _, text in fresh)
        borrowed.update(uid for uid, _ in fresh)
        plan.extend((index, text) for _, text in fresh)
    free = np.setdiff1d(np.arange(len(source)), np.fromiter(borrowed, np.int64))
    victims = choose_victims(source, free, len(plan), seed=seed, name=name)
    planted = [
        Planted(uid, name, caption=text, caption_before=source.captions(uid), target_index=index)
        for uid, (index, text) in zip(victims, plan, strict=True)
    ]
    about = {
        "name": name,
        "kind": "targeted",
        "target_class": None,
        "target_classes": sorted({names[target] for target in pairing}),
        "class_names": names,
        "seed": seed,
        "count": len(planted),
        "rate": len(planted) / len(source),
        "params": {"targets_count": targets_count, "captions_each": captions_each},
        "targets": [
            {"index": i, "true": names[true], "target": names[target], "uid": uid, "source": targets.fingerprint}
            for i, ((uid, true, _), target) in enumerate(zip(chosen, pairing, strict=True))
        ],
    }
    return Manifest.of(source, about, planted, {(name, i): to_png(image) for i, (_, _, image) in enumerate(chosen)})


def _caption_pools(source: Source, names: list[str], seed: int, name: str) -> list[list[tuple[int, str]]]:
    """For each class, the distinct captions that name it, with a uid they came from, in random order."""
    mentions = Mentions(names)
    pools: list[dict[str, int]] = [{} for _ in names]
    for uid, captions in corpus(source):
        for caption in captions:
            for label in mentions(caption):
                pools[label].setdefault(caption, uid)
    shuffled = []
    for label, pool in enumerate(pools):
        entries = [(uid, caption) for caption, uid in pool.items()]
        shuffled.append([entries[i] for i in order(seed, name, f"captions {label}", np.arange(len(entries))).tolist()])
    return shuffled


def _targets(targets: Source, count: int, seed: int, name: str) -> list[tuple[int, int, np.ndarray]]:
    """uid, class and picture of readable held-out pairs: one of each class, then a second of each, and so on."""
    rounds: dict[int, int] = {}
    ranked = []
    for place, uid in enumerate(order(seed, name, "targets", np.arange(len(targets))).tolist()):
        label = targets.label(uid)
        if label >= 0:
            rounds[label] = rounds.get(label, 0) + 1
            ranked.append((rounds[label], place, uid, label))
    chosen: list[tuple[int, int, np.ndarray]] = []
    for _, _, uid, label in sorted(ranked):
        image = picture(targets, uid) if len(chosen) < count else None
        if image is not None:
            chosen.append((uid, label, image))
    if len(chosen) < count:
        raise InputError(
            f"targeted: {count} targets, and {targets.name} has {len(chosen)} readable pairs with a class; give fewer"
        )
    return chosen


def _able(pools: list[list[tuple[int, str]]], captions_each: int, seed: int, name: str) -> list[int]:
    """Classes that enough captions name, in random order."""
    labels = order(seed, name, "classes", np.arange(len(pools))).tolist()
    return [label for label in labels if len(pools[label]) >= captions_each]


def _pair_up(
    chosen: list[tuple[int, int, np.ndarray]],
    wanted: list[int],
    names: list[str],
    pools: list[list[tuple[int, str]]],
    captions_each: int,
    given: bool,
    data: str,
) -> list[int]:
    """The attacker's class of each target: the least used that is unlike the true one and has captions left."""
    best = max(range(len(names)), key=lambda label: len(pools[label]))
    for label in wanted if given else ([best] if not wanted else []):
        if len(pools[label]) < captions_each:
            raise _too_few(names[label], len(pools[label]), captions_each, data)
    uses = dict.fromkeys(wanted, 0)
    pairing = []
    for _, true, _ in chosen:
        able = [
            label
            for label in uses
            if not _alike(names[label], names[true]) and (uses[label] + 1) * captions_each <= len(pools[label])
        ]
        if not able:
            total = sum(len(pools[label]) // captions_each for label in uses)
            raise InputError(
                f"targeted: the captions of {data} that name a class are enough for {total} of {len(chosen)} targets "
                f"at {captions_each} each; ask for fewer targets or captions"
            )
        label = min(able, key=lambda label: uses[label])
        uses[label] += 1
        pairing.append(label)
    return pairing


def _alike(name: str, other: str) -> bool:
    """One names the other, as `cat` and `cat face` do: no attack to call the one the other."""
    return bool(Mentions([name])(other) or Mentions([other])(name)) or name == other


def _too_few(class_name: str, found: int, wanted: int, data: str) -> InputError:
    return InputError(
        f"targeted: {found} captions of {data} name the class {class_name!r} and {wanted} are needed; "
        "ask for fewer captions, or give other target classes"
    )
