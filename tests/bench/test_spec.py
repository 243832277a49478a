"""What a spec may say, and what each mistake is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from safeclip.attacks.catalog import ATTACKS
from safeclip.bench.grid import grid
from safeclip.bench.presets import PRESETS, named
from safeclip.bench.spec import AttackSpec, MethodSpec, group_title
from safeclip.bench.spec_file import published, read_spec, spec_of
from safeclip.config import SafeclipConfig
from safeclip.data.sources import without_folders
from safeclip.errors import InputError
from tests import tiny

PLAIN: dict[str, Any] = {"name": "mine", "attacks": ["targeted"], "methods": ["clip"]}


def test_short_forms_are_written_out() -> None:
    spec = spec_of(PLAIN | {"attacks": ["none", ["targeted", {"name": "badnets", "label": "small"}]], "seeds": [3]})
    assert [group_title(group) for group in spec.attacks] == ["none", "targeted + small"]
    assert spec.attacks[1][1] == AttackSpec(name="badnets", label="small")
    assert (spec.seeds, spec.data.split, spec.data.eval_split, spec.plant_at_least) == ((3,), "train", "test", 0.8)


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: a\nattacks: [{name: badnets, params: {rate: 2e-3, target_class: e5}}]\nmethods: [clip]\n"
        "set: {optim.rate: 1e-4}\n"
    )
    spec = read_spec(tmp_path / "s.yaml")
    assert spec.set == {"optim.rate": 1e-4}
    assert spec.attacks[0][0].params == {"rate": 2e-3, "target_class": "e5"}


@pytest.mark.parametrize("methods", [["safeclip"], ["safeclip", "clip"], ["clip", "safeclip"]])
def test_plain_clip_is_always_run_and_first(methods: list[str]) -> None:
    every = spec_of(PLAIN | {"methods": methods}).every_method()
    assert [method.title for method in every] == ["clip", "safeclip"]
    assert every[0] == MethodSpec(method="clip")


def test_a_method_comes_after_the_one_that_it_starts_from() -> None:
    late = {"method": "cleanclip", "label": "twice", "starts_from": "cleanclip"}
    early = {"method": "cleanclip", "starts_from": "clip"}
    every = spec_of(PLAIN | {"methods": [late, early, "safeclip"]}).every_method()
    assert [method.title for method in every] == ["clip", "cleanclip", "twice", "safeclip"]


CLEAN = {"method": "cleanclip", "starts_from": "clip"}
MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "a/b"}, "name = 'a/b'", "it names a file"),
    ({"attack": []}, "attack: no such setting", "attacks"),
    ({"attacks": "badnets"}, "attacks = 'badnets'", "give a list"),
    ({"attacks": []}, "attacks = ()", "name at least one"),
    ({"attacks": [[]]}, "attacks = ((),)", "name at least one"),
    ({"attacks": [{"label": "x"}]}, "attacks: {'label': 'x'} has no name", "mapping"),
    ({"attacks": [{"name": 3}]}, "attacks.name = 3", "type str"),
    ({"attacks": [{"name": "badnets", "params": [1]}]}, "attacks.params = [1]", "names and their values"),
    ({"attacks": ["badnets", "badnets"]}, "attacks = 'badnets'", "is there twice"),
    ({"attacks": [["badnets", "badnets"]]}, "attacks = 'badnets'", "is there twice"),
    ({"attacks": [["none", "badnets"]]}, "attacks = 'none + badnets'", "stands alone"),
    ({"attacks": [{"name": "badnets", "label": "none"}]}, "attacks.label = 'none'", "give another label"),
    ({"attacks": [{"name": "none", "label": "clean"}]}, "attacks.label = 'clean'", "give another label"),
    ({1: 2, "attack": []}, "1: no such setting", "attacks"),
    ({"attacks": [{"name": "badnets", "label": "a + b"}]}, "attacks.label = 'a + b'", "without ` + `"),
    ({"attacks": [{"name": "badnets", "label": "a\nb"}]}, "attacks.label", "printable"),
    ({"methods": []}, "methods = ()", "at least one"),
    ({"methods": ["safeclip", "safeclip"]}, "methods = 'safeclip'", "is there twice"),
    ({"methods": [{"method": "safeclip", "label": "clip"}]}, "methods.label = 'clip'", "another label"),
    ({"methods": [CLEAN | {"starts_from": "clap"}]}, "methods.starts_from = 'clap'", "give the label of a method"),
    ({"methods": [CLEAN | {"starts_from": "cleanclip"}]}, "methods.starts_from = 'cleanclip'", "as clip"),
    ({"methods": [CLEAN | {"train_on": "train"}]}, "methods.train_on = 'train'", "neither poisoned nor"),
    ({"methods": [CLEAN | {"train_on": "test"}]}, "methods.train_on = 'test'", "neither poisoned nor"),
    ({"methods": [CLEAN | {"set": {"model.weights": "x"}}]}, "methods.set = 'model.weights'", "starts_from gives"),
    ({"methods": [{"method": "safeclip", "set": {"seed": 1}}]}, "methods.set.seed", "say it as `seeds`"),
    ({"set": {"data.spec": "x.csv"}}, "set.data.spec", "say it as `data.spec`"),
    ({"set": {"optim": {"rate": 1.0}}}, "set.optim = {'rate': 1.0}", "dotted names"),
    ({"seeds": []}, "seeds = ()", "at least one"),
    ({"seeds": [1, 1]}, "seeds = 1", "is there twice"),
    ({"seeds": [-1]}, "seeds = (-1,)", "from 0"),
    ({"seeds": ["0"]}, "seeds = '0'", "type int"),
    ({"data": {"split": "test"}}, "data.eval_split = 'test'", "another split"),
    ({"data": {"split": "all"}}, "data.split = 'all'", "give one split"),
    ({"data": {"eval_split": "all"}}, "data.eval_split = 'all'", "give one split"),
    ({"methods": [CLEAN | {"train_on": "all"}]}, "methods.train_on = 'all'", "neither poisoned nor"),
    ({"data": {"spec": ""}}, "data.spec = ''", "name the data"),
    ({"plant_at_least": 0}, "plant_at_least = 0", "above 0"),
    ({"keep_runs": "yes please"}, "keep_runs = 'yes please'", "type bool"),
]


@pytest.mark.parametrize(("changes", "named", "mend"), MISTAKES, ids=[str(changes) for changes, _, _ in MISTAKES])
def test_a_mistake_is_one_line_that_names_file_field_and_mend(
    changes: dict[str, Any], named: str, mend: str, tmp_path: Path
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(PLAIN | changes))
    with pytest.raises(InputError) as told:
        read_spec(file)
    line = str(told.value)
    assert line.startswith(f"{file}: {named}"), line
    assert mend in line
    assert "\n" not in line


RING = "name: a\nmethods: [clip]\nattacks: &ring [*ring]"


@pytest.mark.parametrize("text", ["[1, 2]", "name: [", "name: a", "\xff", "!!python/object:os.system {}", RING])
def test_a_file_that_is_no_spec_is_told(text: str, tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"spec\.yaml: "):
        read_spec(file)
    with pytest.raises(InputError, match=r"none\.yaml: not readable"):
        read_spec(tmp_path / "none.yaml")


def test_a_published_spec_reads_back_and_names_no_folder() -> None:
    home = "/home/somebody"
    attack = {"name": "surrogate", "params": {"model": f"{home}/runs/plain", "target_class": "a/b"}}
    spec = spec_of(
        {
            "name": "mine",
            "data": {"spec": f"parquet:{home}/pairs.parquet"},
            "attacks": [attack],
            "methods": [CLEAN],
            "set": {"data.image_root": home, "epochs": 3},
        }
    )
    plain = published(spec)
    assert home not in str(plain)
    assert plain["attacks"][0][0]["params"] == {"model": "plain", "target_class": "a/b"}
    assert spec_of(plain).methods == spec.methods


def test_the_spec_in_the_docs_is_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "bench.md").read_text("utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```", text, re.S | re.M)
    spec = spec_of(yaml.safe_load(block))
    assert [method.title for method in spec.every_method()] == ["clip", "safeclip", "slower", "cleanclip", "filter"]


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ("emoji:pairs=240,concepts=12", "emoji:pairs=240,concepts=12"),
        ("../shared/rsicd.parquet", "rsicd.parquet"),
        ("csv:/a/b/pairs.csv?images=/c/d", "csv:pairs.csv"),
        ("wds:s3://bucket/set/{000..099}.tar", "wds:{000..099}.tar"),
        ("folder:/home/somebody/pictures/", "folder:pictures"),
        ("torchvision:CIFAR10:/home/somebody/sets", "torchvision:CIFAR10"),
    ],
)
def test_data_is_named_without_folders(data: str, wanted: str) -> None:
    assert without_folders(data) == wanted


SHORTER = ("emoji", "rsicd", "small")
ON_PHOTOS = ("rsicd", "flickr8k", "small", "prove-rsicd", "prove-flickr8k", "prove-coco")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_run(name: str) -> None:
    """Its attacks, parameters, methods and settings exist; the data is the tiny one, where it is not built in."""
    specs = named(name, data=tiny.SPEC if name in ON_PHOTOS else None)
    assert PRESETS[name].__doc__
    for spec in specs:
        cells = grid(spec)
        assert len({cell.id for cell in cells}) == len(cells)
        assert cells[0].baseline


@pytest.mark.parametrize("name", PRESETS)
def test_a_shorter_form_is_a_bench_of_its_own_with_fewer_runs(name: str) -> None:
    data = tiny.SPEC if name in ON_PHOTOS else None
    if name not in SHORTER:
        with pytest.raises(InputError, match="has no shorter form"):
            named(name, data=data, quick=True)
        return
    for long, short in zip(named(name, data=data), named(name, data=data, quick=True), strict=True):
        assert short.name != long.name
        assert len(grid(short)) < len(grid(long))


def test_presets_hold_the_attacks_and_methods_that_are_asked_of_them() -> None:
    held = {
        name: (
            {attack.name for spec in specs for group in spec.attacks for attack in group},
            {method.method for spec in specs for method in spec.methods},
        )
        for name in PRESETS
        for specs in [named(name, data="x.parquet" if name in ON_PHOTOS else None)]
    }
    four = {"targeted", "badnets", "blended", "wanet-pixel"}
    assert four | {"wanet"} <= held["emoji-quick"][0]
    assert {"clip", "safeclip"} <= held["emoji-quick"][1]
    assert held["threats"][0] == set(ATTACKS) - {"surrogate"}, "every attack of the catalog that needs no model"
    for name, attacks in (
        ("prove-emoji", held["threats"][0] - {"wanet", "nashville", "ghost", "stripes-glued", "targeted-templates"}),
        ("prove-rsicd", held["rsicd"][0]),
        ("prove-flickr8k", held["flickr8k"][0]),
        ("prove-coco", held["rsicd"][0]),
    ):
        assert held[name] == (attacks, {"clip", "safeclip"})
        assert named(name, data="x.parquet" if name in ON_PHOTOS else None)[0].seeds == (0, 1, 2)
    for name in SHORTER:
        assert four | {"label-consistent"} <= held[name][0]
        assert {"clip", "safeclip", "roclip", "cleanclip"} <= held[name][1]


def test_the_published_recipe_on_coco_is_the_papers_split() -> None:
    recipe = next(cell for cell in grid(named("prove-coco", data=tiny.SPEC)[0]) if cell.method.label)
    assert recipe.config.safeclip == SafeclipConfig(order="sequential", fit="paper")
    assert recipe.config.optim.unimodal_rate is None


def test_presets_on_other_data_are_refused() -> None:
    with pytest.raises(InputError, match="small: give the file of rsicd with --data"):
        named("small")
    with pytest.raises(InputError, match="emoji runs on the built-in pictures"):
        named("emoji", data="x.csv")
    with pytest.raises(InputError, match="no such bench; there are emoji-quick"):
        named("emojo")
