"""The tables of README and docs/: which records count, and what is made of them."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

from pages import put

from safeclip.bench.grid import grid
from safeclip.bench.spec_file import published
from tests.bench.made import BADNETS, TARGETED, record, spec

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "result_tables.py"))
HITS = {"clip": (15, 16), "safeclip": (1, 16)}


def write(folder: Path, name: str, hits: dict[str, tuple[int, int]] = HITS, **changes: Any) -> None:
    """A results file of both methods under both attacks, two seeds."""
    made = spec(name=name, attacks=[TARGETED, BADNETS], seeds=[0, 1], **changes)
    records = []
    for cell in grid(made):
        k, n = hits[cell.method.title]
        left = 58 if cell.group == "targeted" else 1060
        zero = {"top1": 0.5 + 0.1 * cell.seed, "top5": 0.9, "n": left, "ci95": [0.1, 0.9], "classes": 12}
        records.append(record(cell, {cell.group: (k, n)}, zero_shot=zero))
    values = {"spec": [published(made)], "machines": [], "records": records}
    (folder / f"bench-{name}.json").write_text(json.dumps(values), "utf-8")


def test_without_records_it_says_so(tmp_path: Path) -> None:
    assert {TOOL[page](tmp_path) for page in ("readme", "results", "threats")} == {"Not measured yet."}


def test_the_readme_has_both_models_in_a_cell_a_set_a_column(tmp_path: Path) -> None:
    write(tmp_path, "emoji")
    write(tmp_path, "prove-rsicd", {"clip": (990, 1000), "safeclip": (4, 1000)})
    write(tmp_path, "prove-flickr8k", {"clip": (3, 16), "safeclip": (16, 16)})
    runs = [{"method": it, "seed": 0, "attacks": {}, "top1": top} for it, top in (("clip", 0.7), ("safeclip", 0.6))]
    (tmp_path / "unplanted.json").write_text(json.dumps({"data": spec().data.spec, "runs": runs}), "utf-8")
    said = TOOL["readme"](tmp_path).replace("\u00a0", " ")
    assert "|  | built-in emoji, 32 px | RSICD, 64 px | Flickr8k, 64 px |" in said
    few, many = "30 of 32 → **2 of 32** (1.7 to 20.1 %)", "99.0 % → **0.4 %** of 2,000 (0.4 to 0.4 %)"
    assert f"| Targeted poisoning | {few} | {many} | – |" in said, "no cell where it did not plant"
    assert "| clean zero-shot top-1 | 55.0 % → 55.0 % | 55.0 % → 55.0 % |" in said
    assert "| top-1 where nothing is planted | 70.0 % → 60.0 %; seed 0 | " in said
    assert "Built-in emoji: 240 pairs, 5 epochs, seeds 0 and 1; RSICD: " in said


def test_results_say_counts_intervals_base_rates_seeds_and_the_price(tmp_path: Path) -> None:
    write(tmp_path, "emoji")
    said = TOOL["results"](tmp_path).replace("\u00a0", " ")
    assert "| built-in emoji, 32 px | plain CLIP | SafeCLIP |" in said
    assert "30 of 32 (79.9 to 98.3 %; base 5.0 %) | 2 of 32 (1.7 to 20.1 %; base 5.0 %) |" in said
    assert "| clean zero-shot top-1 | 55.0 % (50.0 to 60.0 %) | 55.0 % (50.0 to 60.0 %; +0.0 points) |" in said
    assert "30 of 32 (79.9 to 98.3 %; base 5.0 %; place 17, 17 of 12) |" in said, "of a trigger, by its control"
    assert "Seeds 0 and 1" in said
    assert "Clean top-1: 58 to 1,060 pictures, 12 classes, " in said
    assert "a processor, 2 cores, torch 2.13.0" in said


def test_the_note_names_the_seeds_that_were_run(tmp_path: Path) -> None:
    write(tmp_path, "emoji")
    file = tmp_path / "bench-emoji.json"
    values = json.loads(file.read_text("utf-8"))
    values["records"] = [record for record in values["records"] if record["seed"] == 1]
    file.write_text(json.dumps(values), "utf-8")
    said = TOOL["results"](tmp_path)
    assert "\nSeed 1, 5 epochs, " in said or ". Seed 1, 5 epochs, " in said
    assert "Seeds 0 and 1, " not in said


def test_an_attack_that_did_not_plant_stands_in_the_threats_alone_and_counts_for_no_method(tmp_path: Path) -> None:
    for name in ("emoji", "threats"):
        write(tmp_path, name, {"clip": (3, 16), "safeclip": (0, 16)})
    said = TOOL["results"](tmp_path)
    assert "| Targeted" not in said
    told = "with 3 of 16 → 0 of 16 in seed 0 and 3 of 16 → 0 of 16 in seed 1. "
    assert f"Targeted poisoning did not plant, and does not count, {told}" in said
    assert told in TOOL["readme"](tmp_path) + " "
    row = next(line for line in TOOL["threats"](tmp_path).splitlines() if line.startswith("| `targeted`"))
    assert "did not plant (ASR 3 of 16 in seed 0 and 3 of 16 in seed 1) | (0 of 32) |" in row


def test_threats_say_source_change_and_amount(tmp_path: Path) -> None:
    write(tmp_path, "threats")
    said = TOOL["threats"](tmp_path).replace("\u00a0", " ")
    assert (
        "| `badnets` | BadNets: Gu et al. 2017 (1708.06733) | a small checkered patch at a random place | 192 (2.4 %) |"
        in said
    )


def test_threats_say_what_the_same_test_gives_where_nothing_was_planted(tmp_path: Path) -> None:
    write(tmp_path, "threats")
    runs = [
        {
            "method": method,
            "seed": seed,
            "attacks": {"badnets": {"k": k + seed, "n": 980}, "targeted": {"k": 1, "n": 16}},
        }
        for method, k in (("clip", 30), ("safeclip", 500))
        for seed in (0, 1)
    ]
    other = {"method": "clip", "seed": 7, "attacks": {"badnets": {"k": 980, "n": 980}}}  # of no seed of the table
    runs = [run | {"top1": 0.7 if run["method"] == "clip" else 0.6} for run in (*runs, other)]
    (tmp_path / "unplanted.json").write_text(json.dumps({"data": spec().data.spec, "runs": runs}), "utf-8")
    said = TOOL["threats"](tmp_path).replace("\u00a0", " ")
    assert "; never attacked 3.1 %; place 17, 17 of 12) |" in said, "61 of 1,960 of plain CLIP"
    assert "; never attacked 51.1 %; place 3, 3 of 12) |" in said, "1,001 of 1,960 of SafeCLIP"
    assert "; never attacked 2 of 32) |" in said
    assert "trained in the same seeds on the data as it lies" in said
    write(tmp_path, "emoji")
    said = TOOL["results"](tmp_path).replace("\u00a0", " ")
    assert "; never attacked 3.1 %;" in said
    assert "| built-in emoji, 32 px | plain CLIP | SafeCLIP |" in said
    assert (
        "| top-1 where nothing is planted; seeds 0, 1 and 7 | 70.0 % (70.0 to 70.0 %) | 60.0 % (60.0 to 60.0 %) |"
        in said
    )
    write(tmp_path, "emoji", data={"spec": "emoji:pairs=17"})
    assert "nothing is planted" not in TOOL["results"](tmp_path), "other data"


def test_threats_name_what_is_left_above_the_control(tmp_path: Path) -> None:
    write(tmp_path, "threats", {"clip": (950, 1000), "safeclip": (40, 1000)})
    said = TOOL["threats"](tmp_path).replace("\u00a0", " ")
    assert said.startswith("Of every attack that plants SafeCLIP leaves what its control has, or less."), "base 5.0 %"
    attacks = {"badnets": {"k": 25, "n": 1000}, "targeted": {"k": 31, "n": 1000}}
    runs = [{"method": "safeclip", "seed": seed, "attacks": attacks, "top1": 0.6} for seed in (0, 1)]
    (tmp_path / "unplanted.json").write_text(json.dumps({"data": spec().data.spec, "runs": runs}), "utf-8")
    said = TOOL["threats"](tmp_path).replace("\u00a0", " ")
    assert "by over a point or over one target, of `badnets` (4.0 %; control 2.5 %). Of every other" in said
    write(tmp_path, "threats", {"clip": (16, 16), "safeclip": (1, 16)})
    few = {"badnets": {"k": 1, "n": 16}, "targeted": {"k": 0, "n": 16}}
    runs = [run | {"attacks": few} for run in runs]
    (tmp_path / "unplanted.json").write_text(json.dumps({"data": spec().data.spec, "runs": runs}), "utf-8")
    assert "of `targeted` (2 of 32; control 0 of 32)" in TOOL["threats"](tmp_path), "two of 32, one a seed"


def test_the_committed_pages_are_what_the_records_make() -> None:
    results = ROOT / "bench" / "results"
    for file, make in TOOL["PAGES"].items():
        page = (ROOT / file).read_text("utf-8")
        assert put(file, page, "results", "result_tables.py", make(results)) == page, (
            f"{file}: run python tools/result_tables.py"
        )
