"""A model measured on the pairs of one source.

    metrics = {zero_shot, retrieval, linear_probe, attack: [...], detection: [...], data, bad}

Everything is measured on clean crops of held-out pairs, read once, embedded in chunks. Unreadable pairs are counted and
left out. Classes that a model reads alike ("Dog", "dog") are one class to zero-shot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from safeclip.attacks.manifest import Manifest
from safeclip.data.draws import shuffled
from safeclip.data.pairs import Shards, Source
from safeclip.data.read import Reads
from safeclip.errors import InputError
from safeclip.evaluate.attack_success import attack_success
from safeclip.evaluate.evaluated import Evaluated
from safeclip.evaluate.probe import Embedded, linear_probe
from safeclip.evaluate.read_pairs import read_pairs
from safeclip.evaluate.retrieval import retrieval
from safeclip.evaluate.zero_shot import Embeds, class_embeddings, first_alike, zero_shot

RETRIEVAL_IMAGES = 5000
_STREAM = 0xE7A1


def evaluate_source(
    embedder: Embeds,
    reader: Reads,
    templates: Sequence[str],
    manifest: Manifest | None = None,
    limit: int | None = None,
    few_shards: bool = False,
    trained: tuple[Embedded, Embedded] | None = None,
    threads: int = 0,
    quiet: bool = True,
) -> dict[str, Any]:
    """metrics.json of a model on the reader's pairs. The reader reads them as they lie, without planted pairs.

    templates: zero-shot prompts with {} for the class. manifest: attacks to measure. limit: pairs at most, drawn at
    random, the same every time; few_shards: from as few shards as have so many. zero_shot is None where there are fewer
    than two classes; retrieval takes at most 5,000 of the images, and is None where captions only say the class.
    trained: training and validation pictures of a linear probe; without them there is none. Target pictures that lie in
    the same data are left out of zero-shot and probe: they are no clean pictures. threads: that read pictures, as for
    `read_in_parts`. quiet: tell no progress. Of an attack that cannot be measured on this data the entry says why; its
    asr is None. Raises InputError, also where nothing at all could be measured, and RunError.
    """
    source = reader.source
    if limit is not None and limit < 1:
        raise InputError(f"limit = {limit}: give 1 or more, or leave it out")
    attacks = [] if manifest is None else manifest.attacks
    names = _class_names(source, attacks)
    some = _order(source, few_shards)[:limit]
    if not names:  # retrieval alone
        some = some[:RETRIEVAL_IMAGES]
    uids_N, image_ND, captions, bad = read_pairs(
        embedder, reader, np.sort(some), frozenset(some[:RETRIEVAL_IMAGES].tolist()), threads, quiet
    )
    if not len(uids_N):
        raise InputError(f"{source.name}: none of {len(some)} pairs can be read; `safeclip doctor --data` says why")
    labels_N = np.array([source.label(uid) for uid in uids_N.tolist()], np.int64)
    metrics: dict[str, Any] = {
        "bad": bad,
        "zero_shot": None,
        "retrieval": None,
        "linear_probe": None,
        "attack": [],
        "detection": [],
    }
    if captions and not getattr(source, "captions_from_classes", False):
        metrics["retrieval"] = retrieval(embedder, image_ND[list(captions)], list(captions.values()))
    if not names:
        return _something(metrics, source)
    kept_K, place_C = np.unique(first_alike(embedder, names, templates), return_inverse=True)
    kept = tuple(names[k] for k in kept_K.tolist())
    class_KD = class_embeddings(embedder, kept, templates)
    place = dict(zip(names, place_C.reshape(-1).tolist(), strict=True))
    own = np.array([place[name] for name in source.class_names] + [-1])
    clean = Evaluated(uids_N, image_ND, own[labels_N], kept, class_KD, source.fingerprint, captions, place)
    unseen_N = (labels_N >= 0) & ~np.isin(uids_N, _target_uids(source, attacks))
    own_K, dense_C = np.unique(own[:-1], return_inverse=True)
    if len(own_K) > 1 and unseen_N.any():
        dense_N = np.where(unseen_N, np.append(dense_C.reshape(-1), -1)[labels_N], -1)
        metrics["zero_shot"] = zero_shot(image_ND, dense_N, class_KD[torch.from_numpy(own_K)])
    if trained is not None:
        test = Embedded(image_ND.numpy()[unseen_N], labels_N[unseen_N])
        metrics["linear_probe"] = linear_probe(*trained, test)
    for attack in attacks:
        assert manifest is not None
        name = attack["name"]
        try:
            found = attack_success(embedder, manifest, name, clean, lambda uid: reader.read(uid)[0])
        except InputError as why:
            found = {"name": name, "kind": attack["kind"], "asr": None, "why": str(why)}
        metrics["attack"].append(found)
    return _something(metrics, source)


def _order(source: Source, few_shards: bool) -> np.ndarray:
    """All uids as they are drawn, the same every time; few_shards: those of one shard after those of another."""
    order = shuffled(0, 0, np.arange(len(source), dtype=np.int64), _STREAM)
    if few_shards and isinstance(source, Shards):
        shard = np.searchsorted(source.ends_S, order, side="right")
        order = order[np.argsort(shuffled(0, 0, np.arange(len(source.ends_S)), _STREAM)[shard], kind="stable")]
    return order


def _something(metrics: dict[str, Any], source: Source) -> dict[str, Any]:
    """metrics as they are. Raises InputError where they measure nothing."""
    if any(metrics[name] for name in ("zero_shot", "retrieval", "linear_probe", "attack")):
        return metrics
    raise InputError(
        f"{source.name}: nothing to measure: {len(source.class_names)} classes (zero-shot takes two or more), and no "
        "captions beside them (retrieval); name the column that has them, as in --set data.class_column=label"
    )


def _class_names(source: Source, attacks: Sequence[dict[str, Any]]) -> list[str]:
    """The data's classes; then those that an attack needs and the data lacks."""
    names = list(source.class_names)
    for attack in attacks:
        asked = {attack.get("target_class"), attack.get("from_class")}
        needed = {*asked, *(target["target"] for target in attack.get("targets", ()))} - {None}
        if not needed <= set(names):
            names = list(dict.fromkeys([*names, *attack["class_names"]]))
    return names


def _target_uids(source: Source, attacks: Sequence[dict[str, Any]]) -> np.ndarray:
    """Pairs of this data whose pictures an attack has as targets."""
    targets = [target for attack in attacks for target in attack.get("targets", ())]
    uids = [t["uid"] for t in targets if t.get("source") == source.fingerprint and isinstance(t.get("uid"), int)]
    return np.array(sorted(uids), np.int64)
