"""Records: what a file of them holds, which of two counts, and which files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from safeclip.bench.grid import grid
from safeclip.bench.records import Records
from safeclip.errors import InputError
from tests.bench.made import record, spec

HITS = {"targeted": (15, 16), "badnets": (90, 100)}


def kept(tmp_path: Path, **changes: Any) -> Records:
    """Every run of a spec, done and published."""
    made = spec(**changes)
    records = Records(tmp_path / "records", tmp_path / "results.json")
    for cell in grid(made):
        records.keep(cell, record(cell, {cell.group: HITS[cell.group]}))
    records.publish(made, [found for cell in grid(made) if (found := records.of(cell))])
    return records


def results(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "results.json").read_text())


def test_a_results_file_holds_specs_machines_and_a_record_a_line(tmp_path: Path) -> None:
    kept(tmp_path)
    told = results(tmp_path)
    assert list(told) == ["spec", "machines", "records"]
    assert [each["name"] for each in told["spec"]] == ["tiny"]
    assert told["machines"] == ["a processor, 2 cores, torch 2.13.0"]
    assert len(told["records"]) == 4
    assert sum('"shape"' in line for line in (tmp_path / "results.json").read_text().splitlines()) == 4


def test_a_changed_run_replaces_the_one_in_its_place_and_another_bench_stays(tmp_path: Path) -> None:
    kept(tmp_path)
    kept(tmp_path, methods=["clip", {"method": "safeclip", "set": {"safeclip.growth": 0.2}}])
    told = results(tmp_path)
    growth = {r["label"]: r["shape"].get("safeclip.growth") for r in told["records"]}
    assert (len(told["records"]), growth) == (4, {"clip": None, "safeclip": 0.2})
    kept(tmp_path, name="other", seeds=[3])
    told = results(tmp_path)
    assert [each["name"] for each in told["spec"]] == ["tiny", "other"]
    assert [r["seed"] for r in told["records"]] == [3] * 4 + [0] * 4


def test_a_record_is_found_by_what_it_is_under_the_labels_of_today(tmp_path: Path) -> None:
    kept(tmp_path)
    renamed = grid(spec(name="new", methods=["clip", {"method": "safeclip", "label": "ours"}]))
    for records in (Records(tmp_path / "records", None), Records(tmp_path / "none", tmp_path / "results.json")):
        found = [records.of(cell) for cell in renamed]
        assert [(r["bench"], r["label"]) for r in found if r] == [("new", "clip"), ("new", "ours")] * 2


def test_results_of_other_benches_beside_it_lend_the_runs_in_common(tmp_path: Path) -> None:
    one, other = spec(name="one"), spec(name="other", seeds=[0, 1])
    lender = Records(tmp_path / "records", tmp_path / "bench-one.json")
    lender.publish(one, [record(cell, {"targeted": (1, 2), "badnets": (1, 58)}) for cell in grid(one)])
    (tmp_path / "bench-of-another-kind.json").write_text("[1, 2")
    borrower = Records(tmp_path / "none", tmp_path / "bench-other.json")
    found = {cell.seed: borrower.of(cell) for cell in grid(other)}
    assert found[0] is not None
    assert found[0]["bench"] == "other", "published under its own name"
    assert found[1] is None
    assert Records(tmp_path / "none", tmp_path / "elsewhere" / "bench-other.json").of(grid(other)[0]) is None


def test_a_record_of_before_a_setting_came_still_counts(tmp_path: Path) -> None:
    cell = grid(spec())[1]
    older = record(cell, {"targeted": (1, 16)})
    older["shape"] = {name: value for name, value in cell.shape.items() if not name.startswith("roclip.")}
    Records(tmp_path, None).keep(cell, older | {"id": "0ther1d"})
    (tmp_path / f"{cell.id}.json").rename(tmp_path / "0ther1d.json")
    assert Records(tmp_path, None).of(cell) is not None


def test_a_failure_is_kept_and_is_no_record(tmp_path: Path) -> None:
    cell = grid(spec())[0]
    Records(tmp_path, None).fail(cell, "no memory", "Traceback ...")
    records = Records(tmp_path, None)
    assert (records.failure(cell), records.of(cell)) == ("no memory", None)
    records.keep(cell, record(cell, {"targeted": (1, 16)}))
    assert (Records(tmp_path, None).failure(cell), records.of(cell) is None) == (None, False)


def test_a_failure_beside_a_record_takes_nothing_away(tmp_path: Path) -> None:
    cell = grid(spec())[0]
    Records(tmp_path, None).keep(cell, record(cell, {"targeted": (1, 16)}))
    Records(tmp_path, None).fail(cell, "no memory", "Traceback ...")
    records = Records(tmp_path, None)
    assert (records.failure(cell), records.of(cell) is None) == ("no memory", False)


@pytest.mark.parametrize("newest", ["own", "published", "lent"])
def test_of_two_records_of_a_run_the_newest_counts(newest: str, tmp_path: Path) -> None:
    cell, made = grid(spec())[0], spec()
    hour = {place: f"2026-01-02T0{5 if place == newest else 4}:00:00+00:00" for place in ("own", "published", "lent")}
    dated = {place: record(cell, {"targeted": (1, 16)}, date=date) for place, date in hour.items()}
    Records(tmp_path / "none", tmp_path / "bench-other.json").publish(spec(name="other"), [dated["lent"]])
    Records(tmp_path / "none", tmp_path / "bench-tiny.json").publish(made, [dated["published"]])
    Records(tmp_path / "records", None).keep(cell, dated["own"])
    records = Records(tmp_path / "records", tmp_path / "bench-tiny.json")
    found = records.of(cell)
    assert found is not None
    assert found["date"] == hour[newest]
    records.publish(made, [found])
    assert json.loads((tmp_path / "bench-tiny.json").read_text())["records"][0]["date"] == hour[newest]


def test_what_is_no_number_does_not_reach_a_file(tmp_path: Path) -> None:
    cell = grid(spec())[0]
    records = Records(tmp_path / "records", tmp_path / "results.json")
    records.keep(cell, record(cell, {"targeted": (1, 16)}, pairs_per_second=float("nan")))
    found = records.of(cell)
    assert found is not None
    records.publish(spec(), [found])
    assert results(tmp_path)["records"][0]["pairs_per_second"] is None


BENT = '{"spec": [], "records": [{"shape": [], "bench": "a", "group": "b", "label": "c", "seed": 0}]}'


@pytest.mark.parametrize("text", ["[]", "{", "[{}]", '{"records": []}', '{"spec": [], "records": [{"id": 1}]}', BENT])
def test_a_file_that_holds_no_results_is_refused_and_stays(text: str, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"results\.json: "):
        Records(tmp_path / "records", file)
    assert file.read_text() == text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"shape": 1}', '{"shape": {}}', '{"failed": 1, "id": "a"}'])
def test_a_torn_record_is_told_with_the_mend(text: str, tmp_path: Path) -> None:
    (tmp_path / "abc.json").write_text(text)
    with pytest.raises(InputError, match=r"abc\.json: .* delete it to do that run anew"):
        Records(tmp_path, None)


def test_benches_in_two_folders_do_not_lose_what_the_other_published(tmp_path: Path) -> None:
    specs = spec(name="one"), spec(name="two", seeds=[3])
    benches = [Records(tmp_path / made.name, tmp_path / "results.json") for made in specs]  # both have read the file
    for made, records in zip(specs, benches, strict=True):
        for cell in grid(made):
            records.keep(cell, record(cell, {cell.group: HITS[cell.group]}))
        records.publish(made, [found for cell in grid(made) if (found := records.of(cell))])
    assert [each["name"] for each in results(tmp_path)["spec"]] == ["one", "two"]
    assert len(results(tmp_path)["records"]) == 8
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["results.json"]


@pytest.mark.parametrize("broken", ["spec", "record"])
def test_a_file_that_no_table_can_be_made_of_is_refused_and_lends_nothing(tmp_path: Path, broken: str) -> None:
    kept(tmp_path)
    told = results(tmp_path)
    if broken == "spec":
        told["spec"] = [{}]
    else:
        del told["records"][0]["attacks"]
    (tmp_path / "bench-other.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"a spec has no name|a record lacks"):
        Records(tmp_path / "none", tmp_path / "bench-other.json")
    assert Records(tmp_path / "none", tmp_path / "bench-mine.json").lent == []


def test_a_bench_of_which_no_run_fits_takes_the_place_of_none(tmp_path: Path) -> None:
    kept(tmp_path)
    before = (tmp_path / "results.json").read_bytes()
    with pytest.raises(InputError, match="none of its 4 runs of tiny is one of these settings"):
        Records(tmp_path / "none", tmp_path / "results.json").publish(spec(), [])
    assert (tmp_path / "results.json").read_bytes() == before
    Records(tmp_path / "none", tmp_path / "results.json").publish(spec(name="other"), [])


def test_a_file_that_another_job_takes_away_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(tmp_path)
    gone = tmp_path / "records" / "gone.failed.json"
    gone.write_text("{}")
    sort = sorted

    def meanwhile(files: Any, **how: Any) -> list[Any]:
        found = sort(files, **how)
        gone.unlink(missing_ok=True)
        return found

    monkeypatch.setitem(Records.read.__globals__, "sorted", meanwhile)
    assert len(Records(tmp_path / "records", None).own) == 4
