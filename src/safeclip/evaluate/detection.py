"""Detection: how well each score that a method keeps tells planted pairs from clean ones.

    AUROC          P(planted is riskier than clean) + P(equal) / 2
    AP             sum_k (R_k - R_{k-1}) P_k over the distinct scores, riskiest first (precision P, recall R)
    recall at q    share of the planted pairs among the round(q N) riskiest of N pairs, equal scores in random order

What must stay true: training never sees any of it, and equal scores earn what chance earns: a constant score has AUROC
0.5 and recall q. With an attack's name, the pairs that other attacks planted are left out: they are neither its own nor
clean.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from safeclip.attacks.manifest import Manifest
from safeclip.errors import InputError
from safeclip.run import RunDir, read_scores

LOW_IS_RISKY = frozenset({"similarity", "neighbours", "caption_neighbours", "p_safe"})
"""Scores whose low end is risky. Of every other one (risk, and the outlier scores) the high end is."""
SHARES = (0.01, 0.05, 0.1, 0.2)


def detection(run: RunDir) -> list[dict[str, Any]]:
    """One entry for each epoch's scores, each score among them, and each attack of the run's manifest and all of them
    together (attack None). Empty where the run has no manifest, or its method keeps no scores.

    An entry: epoch, score, attack, auroc, ap, recall {share: of the planted}, planted, pairs (those compared: all that
    have the score; pairs that take no part in training have none). Raises InputError where a safe pair's is NaN.
    """
    files = sorted((run.path / "scores").glob("epoch-*.parquet"))
    if not files or not run.manifest_file.is_file():
        return []
    manifest = Manifest.load(run.manifest_file)
    names = [attack["name"] for attack in manifest.attacks]
    return [entry for file in files for entry in _of_file(file, manifest, names)]


def measure(risk_N: np.ndarray, planted_N: np.ndarray) -> dict[str, Any]:
    """auroc, ap and recall of a score, high where it is risky; planted: bool (N,). All None where there are no planted
    pairs, or no others.
    """
    return _measure(_levels(risk_N), planted_N)


def _levels(risk_N: np.ndarray) -> np.ndarray:
    """Place of each among the distinct scores, 0 for the riskiest: int64 (N,)."""
    place_N: np.ndarray = np.unique(-risk_N, return_inverse=True)[1].reshape(-1)
    return place_N


def _measure(level_N: np.ndarray, planted_N: np.ndarray, kept_N: np.ndarray | None = None) -> dict[str, Any]:
    """`measure`, by levels that are reckoned once, of those kept alone; None keeps all."""
    if kept_N is not None:
        level_N, planted_N = level_N[kept_N], planted_N[kept_N]
    planted, pairs = int(planted_N.sum()), len(planted_N)
    counted: dict[str, Any] = {"planted": planted, "pairs": pairs}
    if planted in (0, pairs):
        return {"auroc": None, "ap": None, "recall": None, **counted}
    size_L = np.bincount(level_N)
    hits_L = np.bincount(level_N, planted_N)[size_L > 0]
    size_L = size_L[size_L > 0]
    hits_before_L, size_before_L = np.cumsum(hits_L) - hits_L, np.cumsum(size_L) - size_L
    clean_L = size_L - hits_L
    riskier_L = hits_before_L + hits_L / 2  # planted pairs above each clean one, ties as half
    return {
        "auroc": float((clean_L * riskier_L).sum() / (planted * (pairs - planted))),
        "ap": float((hits_L * np.cumsum(hits_L) / np.cumsum(size_L)).sum() / planted),
        "recall": {f"{q:g}": _recall(q, hits_L, size_L, hits_before_L, size_before_L) for q in SHARES},
        **counted,
    }


def _recall(
    share: float, hits_L: np.ndarray, size_L: np.ndarray, hits_before_L: np.ndarray, size_before_L: np.ndarray
) -> float:
    taken = max(1, round(share * int(size_L.sum())))
    level = int(np.searchsorted(size_before_L, taken, side="left")) - 1  # the level that the last one taken lies in
    among = hits_before_L[level] + hits_L[level] * (taken - size_before_L[level]) / size_L[level]
    return float(among / hits_L.sum())


def _of_file(file: Path, manifest: Manifest, names: list[str]) -> list[dict[str, Any]]:
    number = re.fullmatch(r"epoch-(\d+)", file.stem)
    try:
        columns = read_scores(file)
    except (pa.ArrowException, OSError):
        columns = {}
    if number is None or "uid" not in columns:
        raise InputError(f"{file}: holds no scores of an epoch; restore it, or take it out of the folder")
    attack_N = _attack_of(columns["uid"], manifest, names)
    entries = []
    for score, values_N in columns.items():
        if values_N.dtype.kind != "f":
            continue
        scored_N = ~np.isnan(values_N)
        diverged = int((~scored_N & columns.get("safe", True)).sum())
        if diverged:
            raise InputError(f"{file}: {score} of {diverged} pairs is NaN; the model has diverged")
        levels_N, of_N = _levels(-values_N if score in LOW_IS_RISKY else values_N), attack_N[scored_N]
        levels_N = levels_N[scored_N]
        for place, name in enumerate((None, *names)):
            measured = _measure(levels_N, of_N > 0, None if name is None else (of_N == 0) | (of_N == place))
            entries.append({"epoch": int(number[1]), "score": score, "attack": name, **measured})
    return entries


def _attack_of(uids: np.ndarray, manifest: Manifest, names: list[str]) -> np.ndarray:
    """Place of the attack that planted each pair, 1 for the first of `names`, 0 where none did: int16, one a uid."""
    place = {name: at for at, name in enumerate(names, 1)}
    rows = sorted(manifest.planted, key=lambda row: row.uid)
    planted_P = np.array([row.uid for row in rows], np.int64)
    place_P = np.array([place[row.attack] for row in rows] + [0], np.int16)
    at_N = np.searchsorted(planted_P, uids)
    known_N = np.append(planted_P, -1)[at_N] == uids
    found: np.ndarray = np.where(known_N, place_P[at_N], 0)
    return found
