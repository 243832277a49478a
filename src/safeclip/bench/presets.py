"""Named benches: each is a function that returns specs, to be run one after the other.

The numbers at the top are what a bench costs and how well its attacks plant; tune them there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from safeclip.bench.spec import AttackSpec, DataSpec, MethodSpec, Spec
from safeclip.errors import InputError

EMOJI = DataSpec(spec="emoji:concepts=50,pairs=4000,eval_pairs=1000")
"""Half of the built-in data's classes, with as many pictures of each: a run takes two minutes on a core."""
EMOJI_SET = {"epochs": 16, "optim.batch_size": 64}
RSICD_SET = {"epochs": 20}
FLICKR_CLASSES = (
    *("baseball", "basketball", "beach", "bench", "bicycle", "car", "dog", "football", "fountain", "guitar", "horse"),
    *("motorcycle", "mountain", "pool", "rock", "skateboard", "skier", "snowboarder", "soccer", "surfer", "swing"),
    "tennis",
)
"""What captions of Flickr8k are often about; a picture is of the one that most of its five name."""
COCO_CLASSES = (
    *("airplane", "bear", "bed", "bench", "bicycle", "bird", "boat", "bus", "cake", "cat", "clock", "cow", "dog"),
    *("donut", "elephant", "giraffe", "horse", "kite", "laptop", "motorcycle", "pizza", "sandwich", "sheep", "sink"),
    *("skateboard", "snowboard", "surfboard", "toilet", "train", "truck", "umbrella", "vase", "zebra"),
)
"""COCO's categories that captions name in one word, but for those that stand beside everything."""
COCO_SET = {"epochs": 32, "optim.batch_size": 512, "data.workers": 8, "data.class_names": list(COCO_CLASSES)}
QUICK_EPOCHS = {"emoji": 6, "rsicd": 4}
"""Of the `--quick` forms."""
ROCLIP_FIRST = 0.6
"""Share of the epochs before RoCLIP matches for the first time: on small data, matching from the second epoch on learns
matches at random (docs/rivals.md)."""
CLEAN_SET = {"epochs": 10, "optim.rate": 5e-4}
"""CleanCLIP's fine-tuning on the `val` split."""
SEEDS = (0, 1, 2)
NOT_PLANTING = ("wanet", "nashville", "ghost", "stripes-glued", "targeted-templates", "label-consistent, moving")
"""Attacks, by their titles, that did not take 80 % in plain CLIP at any strength that was tried."""
_TARGETED = AttackSpec(name="targeted", params={"captions_each": 8})
_BADNETS = AttackSpec(name="badnets", params={"count": 90, "least": 8})
_FIVE = (
    _TARGETED,
    _BADNETS,
    AttackSpec(name="blended", params={"count": 90, "alpha": 0.3}),
    AttackSpec(name="wanet-pixel", params={"count": 120, "strength": 6.0}),
    AttackSpec(name="label-consistent", params={"count": 72}),
)
_CONSISTENT = AttackSpec(name="label-consistent", params={"count": 200, "least": 12})
"""On photographs: most of a class's pictures. What a patch is worth under true captions hangs on its size."""
_OTHERS = (
    AttackSpec(name="label-consistent", label="label-consistent, moving", params={"count": 72, "place": "random"}),
    AttackSpec(name="badnets-corner", params={"count": 90, "least": 8}),
    AttackSpec(name="badnets-corners", params={"count": 90, "least": 8}),
    AttackSpec(name="badnets-noise", params={"count": 120, "least": 12}),
    AttackSpec(name="badnets-stripes", params={"count": 120, "least": 12}),
    AttackSpec(name="blended-covered", params={"count": 120, "alpha": 0.4, "covers": 0.5}),
    AttackSpec(name="blended-graded", params={"count": 160, "alpha": 0.4, "weakest": 0.05}),
    AttackSpec(name="blended-mixed", params={"count": 160, "alpha": 0.4}),
    AttackSpec(name="blended-noise", params={"count": 90, "alpha": 0.4}),
    AttackSpec(name="sig", params={"count": 90}),
    AttackSpec(name="triangles", params={"count": 90, "alpha": 0.4}),
    AttackSpec(name="stripes", params={"count": 90, "alpha": 0.1}),
    AttackSpec(name="stripes-glued", params={"count": 90, "alpha": 0.1}),
    AttackSpec(name="written-word", params={"count": 120, "alpha": 0.9}),
    AttackSpec(name="wanet", params={"count": 120, "strength": 8.0}),
    AttackSpec(name="nashville", params={"count": 120}),
    AttackSpec(name="ftrojan", params={"count": 120, "magnitude": 500.0}),
    AttackSpec(name="ghost", params={"count": 160, "alpha": 0.5, "shift": 0.25}),
    AttackSpec(name="thing", params={"count": 160, "small": 0.35, "large": 0.5}),
    AttackSpec(name="near-copies", params={"captions_each": 20}),
    AttackSpec(name="toxic-text"),
    AttackSpec(name="targeted-scene"),
    AttackSpec(name="targeted-templates", params={"captions_each": 24}),
    AttackSpec(name="class-swap", params={"share": 1.0, "from_class": "spouting whale", "target_class": "bread"}),
    AttackSpec(name="text-word", params={"share": 1.0, "target_class": "grapes"}),
    AttackSpec(name="text-sentence", params={"share": 1.0, "target_class": "soccer ball"}),
)
"""Strengths and counts at which they plant on small pictures, or the strongest that was tried. Swaps and text
triggers take classes whose held-out drawings plain CLIP knows: no attack can lead to pictures that it does not know."""


def emoji_quick() -> tuple[Spec, ...]:
    """Five attacks on the built-in pictures, WaNet in both forms; plain CLIP and SafeCLIP, one seed: ten runs."""
    attacks = _alone((*_FIVE[:4], *(attack for attack in _OTHERS if attack.name == "wanet")))
    return (replace(emoji()[0], name="emoji-quick", attacks=attacks, methods=_methods(16)[:2], seeds=(0,)),)


def emoji() -> tuple[Spec, ...]:
    """Five attacks, each alone, on the built-in pictures; four methods, three seeds."""
    spec = Spec(
        name="emoji",
        data=EMOJI,
        attacks=_alone(_FIVE),
        methods=_methods(16)[:4],
        seeds=SEEDS,
        set=EMOJI_SET,
    )
    return (spec,)


def rsicd() -> tuple[Spec, ...]:
    """Five attacks, each alone, on RSICD at 64 px (--data names its file); four methods, one seed."""
    spec = Spec(
        name="rsicd",
        preset="small64",
        data=DataSpec(spec="parquet:rsicd-64px.parquet"),
        attacks=_alone((AttackSpec(name="targeted"), AttackSpec(name="badnets"), *_FIVE[2:4], _CONSISTENT)),
        methods=_methods(20)[:4],
        set=RSICD_SET,
    )
    return (spec,)


def flickr8k() -> tuple[Spec, ...]:
    """The same on Flickr8k at 64 px (--data names its file), its classes named by captions; plain CLIP and SafeCLIP."""
    photos = rsicd()[0]
    consistent = replace(_CONSISTENT, params=_CONSISTENT.params | {"target_class": "dog"})
    spec = replace(
        photos,
        name="flickr8k",
        data=DataSpec(spec="parquet:flickr8k-64px.parquet"),
        methods=photos.methods[:2],
        attacks=(*photos.attacks[:4], (consistent,)),
        set=RSICD_SET | {"data.class_names": list(FLICKR_CLASSES)},
    )
    return (spec,)


def threats() -> tuple[Spec, ...]:
    """Every attack of the catalog but `surrogate`, each alone, on the built-in pictures; five methods, one seed."""
    attacks = _alone((*_FIVE, *_OTHERS))
    return (replace(emoji()[0], name="threats", attacks=attacks, methods=_methods(16), seeds=(0,)),)


def small() -> tuple[Spec, ...]:
    """`emoji`, then `rsicd` (--data names its file), each in a folder of its own."""
    return emoji() + rsicd()


def prove_emoji() -> tuple[Spec, ...]:
    """Plain CLIP and SafeCLIP against every attack of `threats` that plants, three seeds."""
    every = threats()[0]
    planting = tuple(group for group in every.attacks if group[0].title not in NOT_PLANTING)
    return (replace(every, name="prove-emoji", attacks=planting, methods=every.methods[:2], seeds=SEEDS),)


def prove_rsicd() -> tuple[Spec, ...]:
    """Plain CLIP and SafeCLIP against the five attacks of `rsicd`, planted in two runs, three seeds (--data)."""
    return (_together(rsicd()[0]),)


def prove_flickr8k() -> tuple[Spec, ...]:
    """The same on Flickr8k (--data names its file)."""
    return (_together(flickr8k()[0]),)


def prove_coco() -> tuple[Spec, ...]:
    """For a GPU: the five attacks on COCO at full size, three seeds (--data names Karpathy's dataset_coco.json).

    ViT-B-32; the published recipe too, with the same towers, views and optimizer. Nobody has run it yet, and nothing in
    it is tuned: 0.26 % (backdoors) to 0.44 % of the pairs are planted, where the paper has 0.05 to 0.4.
    """
    photos = flickr8k()[0]
    attacks = (
        AttackSpec(name="targeted", params={"captions_each": 25}),
        AttackSpec(name="badnets", params={"count": 300}),
        AttackSpec(name="blended", params={"count": 300}),
        AttackSpec(name="wanet-pixel", params={"count": 300}),
        AttackSpec(name="label-consistent", params={"count": 500, "target_class": "cat"}),
    )
    published: dict[str, Any] = {"veto": [], "risk": ["cosine"], "spare": False, "scoring": "fresh"}
    published |= {"share_first": None, "growth": 0.01, "share_cap": 0.85, "order": "sequential", "fit": "paper"}
    recipe = {f"safeclip.{name}": value for name, value in published.items()} | {"optim.unimodal_rate": None}
    spec = replace(
        photos,
        name="prove-coco",
        preset="cc12m_vitb32",
        data=DataSpec(spec="coco:dataset_coco.json"),
        attacks=(attacks[:2], attacks[2:]),
        methods=(*photos.methods, MethodSpec(method="safeclip", label="published recipe", set=recipe)),
        seeds=SEEDS,
        set=COCO_SET,
    )
    return (spec,)


def _together(photos: Spec) -> Spec:
    """Two attacks in one run, three in the other: a run on photographs takes twenty minutes of a core. Of the targeted
    one, more pairs than alone: by as many, it did not plant in company."""
    targeted = replace(photos.attacks[0][0], params={"captions_each": 20})
    groups = ((targeted, *photos.attacks[1]), sum(photos.attacks[2:], ()))
    return replace(photos, name=f"prove-{photos.name}", attacks=groups, methods=photos.methods[:2], seeds=SEEDS)


def _alone(attacks: tuple[AttackSpec, ...]) -> tuple[tuple[AttackSpec, ...], ...]:
    return tuple((attack,) for attack in attacks)


PRESETS: dict[str, Callable[[], tuple[Spec, ...]]] = {
    make.__name__.replace("_", "-"): make
    for make in (
        *(emoji_quick, emoji, rsicd, flickr8k, threats, small),
        *(prove_emoji, prove_rsicd, prove_flickr8k, prove_coco),
    )
}


def named(name: str, *, data: str | None = None, quick: bool = False) -> tuple[Spec, ...]:
    """The specs of a preset. data: instead of the data of those that have none built in. Raises InputError."""
    if name not in PRESETS:
        raise InputError(f"--preset {name}: no such bench; there are {', '.join(PRESETS)}")
    specs = PRESETS[name]()
    open_ones = [spec for spec in specs if not spec.data.spec.startswith("emoji:")]
    if open_ones and data is None:
        raise InputError(f"--preset {name}: give the file of {open_ones[0].name} with --data, or take --preset emoji")
    if data is not None and not open_ones:
        raise InputError(f"--data {data}: {name} runs on the built-in pictures; write a spec for other data")
    specs = tuple(replace(s, data=replace(s.data, spec=data)) if data and s in open_ones else s for s in specs)
    return tuple(_quick(spec) for spec in specs) if quick else specs


def _quick(spec: Spec) -> Spec:
    """A shorter form that shows whether everything runs: one seed, two attacks in one run, few epochs."""
    if spec.name not in QUICK_EPOCHS:
        raise InputError(f"--quick: {spec.name} has no shorter form; leave it out")
    epochs = QUICK_EPOCHS[spec.name]
    return replace(
        spec,
        name=f"{spec.name}-short",
        attacks=(spec.attacks[0] + spec.attacks[1],),
        methods=tuple(method for method in _methods(epochs) if method.method != "filter"),
        seeds=spec.seeds[:1],
        set=spec.set | {"epochs": epochs},
    )


def _methods(epochs: int) -> tuple[MethodSpec, ...]:
    """Each trains as many epochs on poisoned pairs; `filter` to look first, and then as long as the others to learn."""
    return (
        MethodSpec(method="clip"),
        MethodSpec(method="safeclip"),
        MethodSpec(method="roclip", set={"roclip.first": round(ROCLIP_FIRST * epochs)}),
        MethodSpec(method="cleanclip", starts_from="clip", train_on="val", set=CLEAN_SET),
        MethodSpec(method="filter", set={"epochs": 2 * epochs, "filter.look_epochs": epochs}),
    )
