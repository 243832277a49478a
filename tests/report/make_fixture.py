"""A test fixture: a made-up demo directory in the forms that real runs write. None of its numbers were measured.

python -m tests.report.make_fixture DIR [METHOD...]      to look at a page: safeclip report DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import yaml

from safeclip.attacks.manifest import Manifest, Planted, to_png
from safeclip.attacks.trigger import Trigger
from safeclip.data.decode import decode
from safeclip.data.sources import open_source
from safeclip.evaluate.wilson import wilson
from safeclip.run import RunDir, append_line, machine, write_json, write_scores

PAIRS, TARGETS, EACH, PATCHED = 3000, 16, 12, 100
WARMUP, ALIGN, EPOCHS = 3, 1, 12
FIRST_MATCH, LOOK, TRUSTED = 6, 12, 800
SEAT = "seat"
RATES = {
    "clip": (0.93, 0.361),
    "safeclip": (0.008, 0.339),
    "roclip": (0.41, 0.262),
    "cleanclip": (0.05, 0.33),
    "filter": (0.02, 0.352),
}
"""Of each method: attack success of the patch, clean top-1."""
SPLITTING = ("safeclip", "filter")
RIVAL_HITS = {"roclip": 6, "cleanclip": 9, "filter": 15}
EPOCHS_OF = {"filter": LOOK + EPOCHS}


def make_demo(
    folder: Path,
    *,
    plain_hits: int = TARGETS,
    safe_hits: int = 0,
    names: list[str] | None = None,
    caption: str | None = None,
    methods: tuple[str, ...] = ("clip", "safeclip"),
) -> Path:
    """A demo directory. names: true classes of the first targets; caption: of the first planted pair."""
    rng = np.random.default_rng(0)
    source = open_source("emoji:", split="test")
    uids = np.linspace(0, len(source) - 1, TARGETS).astype(int).tolist()
    true = [source.class_names[source.label(uid)] for uid in uids]
    true[: len(names or [])] = names or []
    wanted = [source.class_names[(source.label(uid) + 37) % len(source.class_names)] for uid in uids]
    manifest = _manifest(rng, source, uids, true, wanted, caption)
    folder.mkdir(parents=True, exist_ok=True)
    manifest.save(folder / "manifest.parquet")
    entries = []
    hits_of = {"clip": plain_hits, "safeclip": safe_hits, **RIVAL_HITS}
    for method in methods:
        hits, (asr, top1) = hits_of[method], RATES[method]
        run = RunDir(folder / method)
        run.path.mkdir(exist_ok=True)
        _config(run, method)
        _log(run, method)
        split = {"safeclip": _splits, "filter": _dropped}[method](run, manifest, rng) if method in SPLITTING else {}
        attack = [_targeted(hits, true, wanted, source.class_names), _badnets(asr, source)]
        top = {
            "top1": top1,
            "top5": top1 + 0.3,
            "n": 1984,
            "ci95": list(wilson(round(top1 * 1984), 1984)),
            "classes": 200,
        }
        ways = {"r1": 0.07, "r5": 0.27, "r10": 0.43}
        write_json(
            run.metrics_file,
            {
                "data": {"spec": "emoji:", "split": "test", "pairs": 2000, "classes": 200},
                "zero_shot": top,
                "retrieval": {
                    "image_to_text": ways,
                    "text_to_image": ways,
                    "mean_r5": 0.27,
                    "n_images": 2000,
                    "n_captions": 2604,
                },
                "linear_probe": None,
                "attack": attack,
                "detection": _detection(method),
            },
        )
        for a in attack:
            entries.append(
                {
                    "method": method,
                    "attack": a["name"],
                    "seed": 0,
                    "epochs": EPOCHS_OF.get(method, EPOCHS),
                    "seconds": 161.4,
                    "pairs_per_second": 990.0,
                }
                | {
                    "zero_shot_top1": top1,
                    "zero_shot_top5": top1 + 0.3,
                    "asr": a["asr"],
                    "asr_n": a["n"],
                    "asr_ci95": a["ci95"],
                }
                | {
                    "base_rate": a["base_rate"],
                    "planted_total": a["planted"],
                    "planted_in_safe": split.get(a["name"], [None])[0],
                }
            )
    write_json(
        folder / "summary.json",
        {"seconds": 402.7, "machine": machine(), "dataset": {"spec": "emoji:"}, "runs": entries},
    )
    return folder


def _manifest(rng, source, uids, true, wanted, caption):
    places = rng.permutation(PAIRS)[: TARGETS * EACH + PATCHED].tolist()
    about = {"name": "fixture", "fingerprint": "fixture", "length": PAIRS}
    targets = [
        {"index": i, "true": t, "target": w, "uid": u, "source": source.fingerprint}
        for i, (u, t, w) in enumerate(zip(uids, true, wanted, strict=True))
    ]
    shared = {"seed": 0, "class_names": sorted({*wanted, *true, SEAT}), "params": {}}
    attacks = [
        {"name": "targeted", "kind": "targeted", "target_class": None, "targets": targets, "count": TARGETS * EACH}
        | {"rate": TARGETS * EACH / PAIRS, **shared},
        {
            "name": "badnets",
            "kind": "backdoor",
            "target_class": SEAT,
            "count": PATCHED,
            "rate": PATCHED / PAIRS,
            **shared,
        },
    ]
    planted = []
    for k, place in enumerate(places[: TARGETS * EACH]):
        text = f"sticker: {wanted[k // EACH]}, number {k % EACH}"
        planted.append(
            Planted(place, "targeted", caption=caption if caption and k == 0 else text, target_index=k // EACH)
        )
    trigger = Trigger("badnets", {"least": 10})
    planted += [
        Planted(p, "badnets", caption=f"a drawing of a {SEAT}", trigger=trigger) for p in places[TARGETS * EACH :]
    ]
    pictures = {("targeted", i): to_png(decode(source[u].image, max_pixels=10**7)) for i, u in enumerate(uids)}
    return Manifest(about, attacks, planted, pictures)


def _config(run: RunDir, method: str) -> None:
    own = {
        "warmup_epochs": WARMUP,
        "align_epochs": ALIGN,
        "share_first": 0.3,
        "growth": 0.08,
        "share_cap": 0.9,
        "posterior": 0.9,
    }
    own |= {"risk": ["cosine", "neighbours"], "veto": ["copies"], "scoring": "running", "order": "mixed"}
    epochs = EPOCHS_OF.get(method, EPOCHS)
    values = {"made_with": machine(), "preset": "emoji", "method": method, "epochs": epochs, "seed": 0}
    values |= {
        "data": {"spec": "emoji:", "split": "train", "eval_split": "test"},
        "model": {"name": "safeclip-emoji", "weights": None},
    }
    values |= {"optim": {"batch_size": 256, "rate": 0.002}, "safeclip": own, "cleanclip": {"unimodal_weight": 1.0}}
    values |= {"roclip": {"every": 2, "first": FIRST_MATCH, "pool_share": 0.02, "pool_size": None}}
    values |= {"filter": {"look_epochs": LOOK, "share": 0.1, "detector": "dao", "k": 16, "reference": 1024}}
    if method == "cleanclip":
        values["model"]["weights"] = "runs/somebody/poisoned/checkpoints/epoch-012/model.safetensors"
        values["data"]["spec"] = "csv:trusted.csv"
    run.config_file.write_text(yaml.safe_dump(values), encoding="utf-8")


def _phase(method: str, epoch: int) -> str:
    if method == "safeclip":
        return "warmup" if epoch <= WARMUP else "align" if epoch <= WARMUP + ALIGN else "defend"
    if method == "roclip":
        return "match" if epoch >= FIRST_MATCH and epoch % 2 == 0 else "clip"
    if method == "filter":
        return "look" if epoch <= LOOK else "retrain"
    return {"clip": "clip", "cleanclip": "finetune"}[method]


OBJECTIVES = {"warmup": ("unimodal",), "defend": ("clip", "unimodal"), "match": ("match",), "finetune": ("cleanclip",)}
"""Of the phases that have others than the CLIP loss."""


def _level(phase: str, kind: str, epoch: int) -> float:
    """A loss that such an epoch could have."""
    if kind == "cleanclip":
        return 1.4 + 0.8 * float(np.exp(-epoch / 3))
    if kind == "unimodal":
        return 1.1 + 3.5 * float(np.exp(-epoch / 2))
    if phase == "align":
        return 4.9
    since = epoch - LOOK if phase == "retrain" else epoch
    return 5.2 * float(np.exp(-since / 9)) * (1.2 if kind == "match" else 1.0)


def _log(run: RunDir, method: str) -> None:
    epochs, pairs = EPOCHS_OF.get(method, EPOCHS), TRUSTED if method == "cleanclip" else PAIRS
    append_line(run.log_file, {"event": "start", "method": method, "pairs": pairs, "epochs": epochs})
    step = 0
    rng = np.random.default_rng(1)
    for epoch in range(1, epochs + 1):
        phase = _phase(method, epoch)
        if method == "filter" and epoch == LOOK + 1:
            dropped = "300 of 3000 pairs dropped by dao; training starts again"
            append_line(run.log_file, {"event": "note", "epoch": epoch, "text": dropped})
        loss = {}
        for kind in OBJECTIVES.get(phase, ("clip",)):
            level = _level(phase, kind, epoch)
            for _ in range(12):
                step += 1
                record = {"event": "step", "epoch": epoch, "step": step, "phase": phase, "objective": kind}
                noisy = float(level * rng.normal(1, 0.05))
                append_line(run.log_file, record | {"loss": noisy, "rate": 1e-3, "logit_scale": 20.0})
            loss[kind] = level
        record = {"event": "epoch", "epoch": epoch, "phase": phase, "loss": loss, "seconds": 13.4, "pairs": pairs}
        append_line(run.log_file, record | {"pairs_per_second": 224.0})
    append_line(run.log_file, {"event": "end", "seconds": 161.4})


def _splits(run: RunDir, manifest: Manifest, rng: np.random.Generator) -> dict[str, list[int]]:
    attack = manifest.attack_of(np.arange(PAIRS))
    by_attack: dict[str, list[int]] = {}
    for t, epoch in enumerate(range(WARMUP + ALIGN + 1, EPOCHS + 1)):
        fits = rng.random(PAIRS) < 0.75
        fits[attack != ""] = False
        cosine = np.where(fits, rng.normal(0.3 + 0.02 * t, 0.09, PAIRS), rng.normal(0.1 + 0.02 * t, 0.08, PAIRS))
        cosine[attack == "badnets"] += 0.08
        agree = np.where(attack != "", rng.normal(0.05, 0.03, PAIRS), rng.normal(0.25, 0.1, PAIRS))
        risk = np.argsort(np.argsort(-cosine)) / PAIRS + np.argsort(np.argsort(-agree)) / PAIRS
        risk[attack == "targeted"] = 3.0
        safe = np.zeros(PAIRS, bool)
        share = min(0.3 + 0.08 * t, 0.9)
        safe[np.argsort(risk)[: round(share * PAIRS)]] = True
        by_attack = {n: [int((safe & (attack == n)).sum()), int((attack == n).sum())] for n in ("targeted", "badnets")}
        split = {"epoch": epoch, "cut": float(cosine[safe].min()), "safe_share": share, "safe_count": int(safe.sum())}
        split |= {"means": [0.1 + 0.02 * t, 0.3 + 0.02 * t], "variances": [0.0064, 0.0081], "weights": [0.32, 0.68]}
        split |= {
            "iterations": 40,
            "clamped": False,
            "vetoed": 340,
            "vetoed_by": {"texture": 40, "copies": 310},
            "planted_by_attack": by_attack,
        }
        split |= {"planted_in_safe": sum(v[0] for v in by_attack.values()), "planted_total": TARGETS * EACH + PATCHED}
        append_line(run.split_file, split)
        columns = {
            "uid": np.arange(PAIRS),
            "similarity": cosine.astype(np.float32),
            "p_safe": cosine.astype(np.float32),
        }
        columns |= {"safe": safe, "risk": risk.astype(np.float32), "neighbours": agree.astype(np.float32)}
        write_scores(run.scores_file(epoch), columns)
    return by_attack


def _dropped(run: RunDir, manifest: Manifest, rng: np.random.Generator) -> dict[str, list[int]]:
    """The filter's one split: the patched pictures are lonely, the copies of the targets are not."""
    attack = manifest.attack_of(np.arange(PAIRS))
    risk = rng.lognormal(0, 0.4, PAIRS)
    risk[attack == "badnets"] *= 2.4
    risk[attack == "targeted"] *= 0.7
    kept = np.zeros(PAIRS, bool)
    kept[np.argsort(risk)[: PAIRS * 9 // 10]] = True
    by_attack = {n: [int((kept & (attack == n)).sum()), int((attack == n).sum())] for n in ("targeted", "badnets")}
    split = {"epoch": LOOK + 1, "detector": "dao", "safe_share": 0.9, "safe_count": int(kept.sum())}
    split |= {"planted_in_safe": sum(v[0] for v in by_attack.values()), "planted_total": TARGETS * EACH + PATCHED}
    append_line(run.split_file, split | {"planted_by_attack": by_attack})
    columns = {"uid": np.arange(PAIRS), "similarity": rng.normal(0.3, 0.1, PAIRS).astype(np.float32)}
    write_scores(run.scores_file(LOOK + 1), columns | {"safe": kept, "risk": risk.astype(np.float32)})
    return by_attack


def _detection(method: str) -> list[dict[str, object]]:
    if method != "filter":
        return []
    told = {"recall": {"0.1": 0.3}, "ap": 0.2, "pairs": PAIRS}
    return [
        {"epoch": LOOK + 1, "score": score, "attack": attack, "auroc": auroc, "planted": 100, **told}
        for score, attack, auroc in (
            ("similarity", None, 0.51),
            ("risk", None, 0.532),
            ("risk", "targeted", 0.214),
            ("risk", "badnets", 0.951),
        )
    ]


def _targeted(hits, true, wanted, names):
    examples = []
    for i, (t, w) in enumerate(zip(true, wanted, strict=True)):
        called = w if i < hits else t if i % 3 else names[(i * 7) % len(names)]
        examples.append({"index": i, "true": t, "target": w, "called": called, "hit": i < hits})
    result = {
        "name": "targeted",
        "kind": "targeted",
        "asr": hits / TARGETS,
        "k": hits,
        "n": TARGETS,
        "ci95": list(wilson(hits, TARGETS)),
    }
    return result | {
        "base_rate": 0.0,
        "target_class": None,
        "true_class_rate": 0.1,
        "planted": TARGETS * EACH,
        "examples": examples,
    }


def _badnets(asr, source):
    n, k = 1990, round(asr * 1990)
    examples = []
    for uid in (0, 181, 362, 543, 724, 905):
        t = source.class_names[source.label(uid)]
        hit = asr > 0.5
        examples.append({"index": uid, "true": t, "target": SEAT, "called": SEAT if hit else t, "hit": hit})
    result = {
        "name": "badnets",
        "kind": "backdoor",
        "asr": k / n,
        "k": k,
        "n": n,
        "ci95": list(wilson(k, n)),
        "base_rate": 0.0005,
    }
    return result | {"target_class": SEAT, "true_class_rate": 0.01, "planted": PATCHED, "examples": examples}


if __name__ == "__main__":
    make_demo(Path(sys.argv[1]), methods=tuple(sys.argv[2:]) or ("clip", "safeclip"))
