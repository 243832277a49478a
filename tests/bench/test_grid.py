"""The runs of a bench: which, in what order, with what id."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safeclip.bench.grid import grid
from safeclip.bench.presets import named
from safeclip.bench.selection import check_only, parse_only, select
from safeclip.bench.spec_file import published
from safeclip.data.sources import said_with_format
from safeclip.errors import InputError
from safeclip.presets import preset
from tests.bench.made import BADNETS, CLEANCLIP, TARGETED, spec
from tests.data.made import jpeg, write


def ids(**changes: Any) -> dict[str, str]:
    return {cell.title: cell.id for cell in grid(spec(**changes))}


def test_cheap_evidence_comes_first() -> None:
    cells = grid(spec(attacks=[TARGETED, "none"], methods=["safeclip", CLEANCLIP], seeds=[4, 2]))
    assert [cell.title for cell in cells] == [
        f"seed {seed}, {attack}, {method}"
        for seed in (4, 2)
        for attack in ("targeted", "none")
        for method in ("clip", "safeclip", "cleanclip")
    ]


def test_a_cell_carries_the_whole_config() -> None:
    methods = ["clip", {"method": "safeclip", "set": {"safeclip.growth": 0.15}}, CLEANCLIP]
    clip, safe, clean = grid(spec(attacks=[[TARGETED, BADNETS]], methods=methods))
    assert [attack.name for attack in clip.attacks] == ["targeted", "badnets"]
    assert (clip.config.method, clip.config.epochs, clip.config.data.split) == ("clip", 5, "train")
    assert (safe.config.safeclip.growth, clip.config.safeclip.growth) == (0.15, preset("emoji").safeclip.growth)
    assert (clean.config.epochs, clean.config.data.split, clean.config.data.eval_split) == (2, "val", "test")
    assert clean.start is clip
    assert safe.start is None
    assert not any(cell.config.evaluate for cell in (clip, safe, clean))


def test_ids_are_the_same_in_every_process() -> None:
    code = (
        "import json, sys; from safeclip.bench.grid import grid; from safeclip.bench.spec_file import spec_of; "
        "print(*(cell.id for cell in grid(spec_of(json.loads(sys.argv[1])))))"
    )
    plain = json.dumps(published(spec()))
    told = subprocess.run([sys.executable, "-c", code, plain], check=True, capture_output=True, text=True).stdout
    assert told.split() == list(ids().values())


def test_a_changed_spec_changes_the_ids_of_what_it_changes_and_of_no_other_run() -> None:
    methods: list[Any] = ["clip", "safeclip", CLEANCLIP]
    before = ids(methods=methods)
    assert len(set(before.values())) == len(before)
    own = ids(methods=["clip", {"method": "safeclip", "set": {"safeclip.growth": 0.15}}, CLEANCLIP])
    assert {title for title in before if own[title] != before[title]} == {t for t in before if "safeclip" in t}
    planted = ids(methods=methods, attacks=[TARGETED, BADNETS | {"params": {"count": 9, "least": 8}}])
    assert {title for title in before if planted[title] != before[title]} == {t for t in before if "badnets" in t}
    data = ids(methods=methods, data={"spec": "emoji:pairs=240,concepts=12,eval_pairs=64"})
    assert not set(data.values()) & set(before.values())


SETTINGS = {"epochs": 5, "optim.batch_size": 40, "model.precision": "fp32", "safeclip.warmup_epochs": 1}


def test_what_a_run_starts_from_shapes_it() -> None:
    before, after = ids(methods=[CLEANCLIP], set=SETTINGS), ids(methods=[CLEANCLIP], set=SETTINGS | {"epochs": 6})
    assert all(before[title] != after[title] for title in before), "cleanclip's own epochs stay as they were"


def test_another_methods_section_does_not_touch_a_run() -> None:
    methods: list[Any] = ["clip", "safeclip", "roclip", CLEANCLIP]
    before, after = ids(methods=methods), ids(methods=methods, set=SETTINGS | {"safeclip.growth": 0.2})
    assert {title for title in before if after[title] != before[title]} == {t for t in before if "safeclip" in t}


def test_labels_of_methods_workers_and_defaults_said_aloud_do_not_change_an_id() -> None:
    before = list(ids().values())
    aloud = TARGETED | {"params": {"targets_count": 2, "captions_each": 4}}
    loud = [aloud, BADNETS | {"params": {"count": 8, "least": 8, "place": "random"}}]
    named = list(ids(attacks=loud, methods=["clip", {"method": "safeclip", "label": "ours"}]).values())
    assert named == before
    assert list(ids(set=SETTINGS | {"data.workers": 2, "checkpoint_minutes": 1.0}).values()) == before


def test_a_setting_that_came_later_counts_at_its_default() -> None:
    clip, safe, *_ = grid(spec())
    older = {name: value for name, value in safe.shape.items() if name not in ("safeclip.fit", "optim.rate")}
    assert safe.made(safe.shape)
    assert not safe.made(older), "the rate is not the default's"
    assert safe.made(older | {"optim.rate": safe.shape["optim.rate"]})
    assert not safe.made(safe.shape | {"optim.gone": 1}), "what this version does not know may have shaped it"
    assert not safe.made(clip.shape)
    assert safe.made(safe.shape | {"roclip.every": 7}), "older records name what other methods read"
    assert not safe.made(safe.shape | {"safeclip.growth": 0.7})
    assert not replace(safe, usual={}).made(older | {"optim.rate": safe.shape["optim.rate"]})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"attacks": ["bednets"]}, "attacks: attack 'bednets': no such attack; there are targeted"),
        ({"attacks": [{"name": "badnets", "params": {"size": 3}}]}, "attacks: badnets.size = 3: no such parameter"),
        ({"methods": ["magic"]}, "method magic: method = 'magic': choose among clip"),
        ({"methods": [{"method": "safeclip", "set": {"epochs": 1}}]}, "method safeclip: epochs = 1"),
        ({"set": {"optim.speed": 1}}, "method clip: optim.speed: no such setting"),
        ({"preset": "emojo"}, "emojo: no such preset"),
        ({"data": {"spec": "none.csv"}}, "none.csv"),
        ({"data": {"spec": "emoji:", "eval_split": "exam"}}, "exam"),
    ],
)
def test_what_cannot_be_run_is_known_before_anything_is(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says.replace("(", r"\(")):
        grid(spec(**changes))


def test_data_whose_splits_are_one_is_refused(tmp_path: Path) -> None:
    """A table without splits is taken whole, whatever the split: all would be trained, trusted and evaluated on."""
    rows = [f"p{i}.jpg,a cat {i},cat" for i in range(40)]
    whole = write(tmp_path / "whole.csv", "\n".join(["image,caption,class", *rows]))
    for i in range(40):
        write(tmp_path / f"p{i}.jpg", jpeg(i))
    with pytest.raises(InputError, match=r"whole\.csv: 'test' holds the pictures of 'train'; give data with splits"):
        grid(spec(data={"spec": str(whole)}))
    split = [f"{row},{'train' if i < 30 else 'test'}" for i, row in enumerate(rows)]
    parts = write(tmp_path / "parts.csv", "\n".join(["image,caption,class,split", *split]))
    assert len(grid(spec(data={"spec": str(parts)}))) == 4


def test_only_some_bring_plain_clip_and_what_they_start_from() -> None:
    double = {"method": "cleanclip", "label": "twice", "starts_from": "cleanclip", "train_on": "val"}
    cells = grid(spec(methods=["safeclip", CLEANCLIP, double], seeds=[0, 1]))

    def titles(*only: str) -> list[str]:
        return [cell.title for cell in select(cells, parse_only(only))]

    assert titles() == [cell.title for cell in cells]
    assert titles("method=safeclip,attack=badnets", "seed=1") == ["seed 1, badnets, clip", "seed 1, badnets, safeclip"]
    assert titles("method=twice,attack=badnets,seed=0") == [
        f"seed 0, badnets, {m}" for m in ("clip", "cleanclip", "twice")
    ]
    assert len(titles("seed=0,seed=1")) == len(cells)
    together = grid(spec(attacks=[[TARGETED, BADNETS]]))
    assert len(select(together, {"attack": ["badnets"]})) == len(together), "an attack is found in its group"


@pytest.mark.parametrize("only", ["method", "model=clip", ""])
def test_only_of_another_form_is_told(only: str) -> None:
    with pytest.raises(InputError, match="write it as method=safeclip,attack=wanet"):
        parse_only([only])


def test_only_something_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match="--only attack=wanet: not in this bench; there are targeted, badnets"):
        check_only(grid(spec()), {"attack": ["wanet"]})


def test_a_name_that_one_of_several_benches_has_leaves_the_others_without_runs() -> None:
    one, other = grid(spec()), grid(spec(attacks=["blended"]))
    check_only([*one, *other], only := parse_only(["attack=blended"]))
    assert select(one, only) == []
    assert select(other, only) == other


def test_the_order_of_attacks_that_are_planted_together_shapes_the_run() -> None:
    one, two = ([[{"name": name} for name in names]] for names in (("badnets", "blended"), ("blended", "badnets")))
    (first, *_), (second, *_) = (grid(spec(attacks=group)) for group in (one, two))
    assert first.id != second.id
    assert not first.made(second.shape)
    assert first.made({name: value for name, value in first.shape.items() if name != "attacks"}), "as older records are"


def test_a_label_with_a_comma_can_be_chosen() -> None:
    assert parse_only(["attack=label-consistent, moving,seed=0", "method=clip"]) == {
        "attack": ["label-consistent, moving"],
        "seed": ["0"],
        "method": ["clip"],
    }


@pytest.mark.parametrize("target", ["bench-small", "prove"])
def test_what_make_runs_is_what_the_results_have(target: str) -> None:
    root = Path(__file__).parents[2]
    make = ["make", "--dry-run", target, "RSICD=Makefile", "FLICKR8K=Makefile"]
    lines = subprocess.run(make, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    told = [re.search(r"--preset (\S+).* --data (\S+:)Makefile", line) for line in lines if "Makefile" in line]
    assert told
    for found in told:
        assert found
        name = named(found[1], data=f"{found[2]}x.parquet")[-1].name
        records = json.loads((root / f"bench/results/bench-{name}.json").read_text())["records"]
        assert {record["shape"]["data.name"].partition(":")[0] + ":" for record in records} == {found[2]}


def test_a_file_is_one_however_it_is_spelled() -> None:
    assert (
        said_with_format("some/pairs.parquet") == said_with_format("parquet:pairs.parquet") == "parquet:pairs.parquet"
    )
    assert said_with_format("emoji:pairs=240") == "emoji:pairs=240"
