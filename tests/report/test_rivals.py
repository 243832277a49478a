"""The page of a rival's run, and of several methods on one poisoned data set, speaks of what each method did."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import yaml

from safeclip.methods import build_method
from safeclip.report import charts, training
from safeclip.report.facts import read, scores
from tests.methods.driven import Data, config, drive
from tests.report.make_fixture import LOOK, PAIRS, SPLITTING, make_demo
from tests.report.test_page import HOSTILE, page_of

METHODS = ("clip", "safeclip", "roclip", "cleanclip", "filter")


@pytest.fixture(scope="module")
def all_methods(tmp_path_factory):
    return make_demo(tmp_path_factory.mktemp("made") / "demo", methods=METHODS)


@pytest.fixture
def run_of(all_methods, tmp_path):
    """A method's run alone, with the manifest where it trained on poisoned pairs."""

    def copied(method):
        run = shutil.copytree(all_methods / method, tmp_path / method)
        if method != "cleanclip":
            shutil.copy(all_methods / "manifest.parquet", run / "manifest.parquet")
        return run

    return copied


def edit_config(run, **sections):
    file = run / "config.yaml"
    values = yaml.safe_load(file.read_text("utf-8"))
    for name, section in sections.items():
        values[name].update(section)
    file.write_text(yaml.safe_dump(values), "utf-8")


def append(run, **line):
    with (run / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def html(run):
    return (run / "report.html").read_text("utf-8")


def chart(run, title):
    return next(svg for svg in re.findall(r"<svg.*?</svg>", html(run), re.S) if f"<title>{title}" in svg)


def table_rows(run):
    """Each row of the page's tables, its cells' text apart by one space."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", html(run), re.S)
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in rows]


def dropped_row(run, label):
    """Of the table of what a filter dropped: the row of that label, without it."""
    return next(row for row in reversed(table_rows(run)) if row.startswith(label + " ")).removeprefix(label + " ")


def test_a_filter_is_told_as_a_filter_and_not_as_a_mixture(run_of):
    run = run_of("filter")
    text = page_of(run).text
    assert "What filtered CLIP dropped" in text
    assert "plain CLIP trained for 12 epochs on all pairs" in text
    assert "the detector dao gives each pair a score" in text
    assert "starts from untrained weights, on the pairs that were kept" in text
    assert "12 to look, 12 to learn" in text
    for foreign in ("Gaussian mixture", "warm-up", "safe pairs", "Who is in the safe set", "signals"):
        assert foreign not in text, foreign
    assert "Left out" not in text


def test_who_was_dropped_adds_up_to_what_the_filter_wrote(run_of):
    run = run_of("filter")
    page_of(run)
    facts = read(run)
    columns = scores(facts.runs[0], LOOK + 1)
    dropped = set(columns["uid"][~columns["safe"]].tolist())

    def told(label, mine, *more):
        hit = len(mine & dropped)
        wanted = [f"{len(mine):,}", f"{hit:,}", f"{100 * hit / len(mine):.1f} %", *more]
        assert dropped_row(run, label) == " ".join(wanted)

    planted = set(facts.manifest.uids.tolist())
    told("all pairs", set(range(PAIRS)))
    told("pairs that nobody planted", set(range(PAIRS)) - planted)
    for title, name, auroc in (("BadNets patch", "badnets", "95.1 %"), ("Targeted poisoning", "targeted", "21.4 %")):
        told(title, {row.uid for row in facts.manifest.planted if row.attack == name}, auroc)


def test_the_cut_stands_where_the_least_dropped_score_is(run_of):
    run = run_of("filter")
    page_of(run)
    columns = scores(read(run).runs[0], LOOK + 1, ("risk",))
    svg = chart(run, "Outlier scores by dao")
    assert "outlier score (dao)" in svg
    assert "curve" not in svg
    cut = float(re.search(r'class="cut" x1="([0-9.]+)"', svg)[1])
    ticks = re.findall(r'class="tick" x="([0-9.]+)" y="[0-9.]+" text-anchor="middle">([0-9.]+)<', svg)
    (x0, v0), *_, (x1, v1) = [(float(x), float(v)) for x, v in ticks]
    value = v0 + (cut - x0) / (x1 - x0) * (v1 - v0)
    assert value == pytest.approx(columns["risk"][~columns["safe"]].min(), abs=0.01)


@pytest.mark.parametrize("detector", ["kdist", "slof", "lid", "dao", "cosine", "neighbours"])
def test_every_detector_is_explained(run_of, detector):
    run = run_of("filter")
    edit_config(run, filter={"detector": detector})
    change_split(run, detector=detector)
    text = page_of(run).text
    assert f"the detector {detector} gives each pair a score" in text
    assert "how much of an outlier it is" not in text


def change_split(run, **changes):
    file = run / "split.jsonl"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | changes) + "\n", "utf-8")


def test_a_filter_without_scores_still_says_what_it_dropped(run_of):
    run = run_of("filter")
    shutil.rmtree(run / "scores")
    text = page_of(run).text
    assert "The filter's scores are not at hand" in text
    assert dropped_row(run, "all pairs").startswith("3,000 300 10.0 %")


def test_a_filter_without_a_manifest_says_what_it_dropped_and_nothing_of_attacks(run_of):
    run = run_of("filter")
    (run / "manifest.parquet").unlink()
    change_split(run, planted_in_safe=None, planted_total=None, planted_by_attack=None)
    page_of(run)
    assert dropped_row(run, "all pairs").startswith("3,000 300 10.0 %")
    part = html(run)[html(run).index("What filtered CLIP dropped") : html(run).index('id="losses"')]
    assert "planted" not in part


def test_a_filter_that_still_looks_has_dropped_nothing(run_of):
    run = run_of("filter")
    shutil.rmtree(run / "scores")
    (run / "split.jsonl").write_text("", "utf-8")
    text = page_of(run).text
    assert "Nothing has been dropped yet." in text
    assert "Who was dropped" not in text


@pytest.mark.parametrize("content", ['{"epoch": 13}', '{"epoch": 13, "planted_by_attack": 7}', '{"detector": [1]}'])
def test_a_split_of_another_form_never_stops_the_page(run_of, content):
    run = run_of("filter")
    (run / "split.jsonl").write_text(content + "\n", "utf-8")
    assert "safeclip" in page_of(run).text


def test_the_two_trainings_of_a_filter_are_two_lines(run_of):
    run = run_of("filter")
    page_of(run)
    svg = chart(run, "CLIP loss by epoch")
    means = [d for kind, d in re.findall(r'<path class="line ([^"]*)" d="([^"]*)"', svg) if "faint" not in kind]
    assert [d.count(",") for d in means] == [LOOK, 12]
    assert re.findall(r'text-anchor="middle">([a-z-]+)</text>', svg) == ["look", "retrain", "epoch"]


@pytest.mark.parametrize(
    ("method", "panels", "bands"),
    [
        ("roclip", ["CLIP loss", "Matching loss"], ["match"] * 4),
        ("cleanclip", ["CleanCLIP loss"], []),
        ("filter", ["CLIP loss"], ["look", "retrain"]),
        ("safeclip", ["CLIP loss", "Unimodal loss"], ["warm-up", "align", "defended"]),
    ],
)
def test_every_objective_and_phase_has_a_name(run_of, method, panels, bands):
    run = run_of(method)
    page_of(run)
    assert re.findall(r"<h4>([^<]* loss)</h4>", html(run)) == panels
    for panel in panels:
        marks = re.findall(r'class="tick" [^>]*>([a-z-]+)</text>', chart(run, f"{panel} by epoch"))
        assert marks == bands


def test_an_objective_that_nobody_knows_keeps_its_name(run_of):
    run = run_of("roclip")
    for epoch in (1, 2):
        append(run, event="epoch", epoch=epoch, phase="new", loss={"<b>odd</b>": 2.0 - epoch / 2}, seconds=1.0, pairs=1)
    page = page_of(run)
    assert "<b>odd</b> loss" in page.text
    assert "b" not in page.tags


def test_only_phases_with_a_name_are_shaded_every_other_one():
    bands = [(0, 1, ""), (1, 2, "match"), (2, 3, ""), (3, 4, "match"), (4, 5, "align"), (5, 6, "defended")]
    svg = charts.line_chart([charts.Line("a", "clip", [(0, 1), (6, 2)])], title="t", x_label="x", bands=bands)
    shades = [
        (float(x), float(w)) for x, w in re.findall(r'class="band" x="([0-9.]+)" y="[0-9.]+" width="([0-9.]+)', svg)
    ]
    widths = {width for _, width in shades}
    assert len(widths) == 1
    assert [round((x - charts._LEFT) / width) for x, width in shades] == [1, 3, 5]


def test_roclip_says_when_it_matches_and_among_what(run_of):
    run = run_of("roclip")
    text = page_of(run).text
    assert "in epochs 6, 8, 10 and 12, each picture learns with the caption that is nearest" in text
    assert "past captions (2.0\u00a0% of the data)" in text
    log = (run / "log.jsonl").read_text().splitlines()
    (run / "log.jsonl").write_text(
        "\n".join([json.dumps(json.loads(log[0]) | {"pairs": 400_000_000}), *log[1:]]) + "\n"
    )
    assert "nearest to it among 262,144 past captions, instead" in page_of(run).text
    edit_config(run, roclip={"pool_size": 21845})
    assert "nearest to it among 21,845 past captions, instead" in page_of(run).text


def test_cleanclip_does_not_count_the_attack_among_its_trusted_pairs(run_of):
    run = run_of("cleanclip")
    text = page_of(run).text
    assert "it goes on training on 800 trusted pairs" in text
    assert "The attacks measured here planted 292 pairs; this folder holds no manifest of them." in text
    assert "of 800 pairs" not in text
    assert "somebody" not in html(run), "the page names no folder of the machine"
    assert "model.weights model.safetensors" in table_rows(run)


@pytest.mark.parametrize("method", METHODS)
def test_settings_and_paper_are_those_of_the_method(run_of, method):
    run = run_of(method)
    text = page_of(run).text
    for other in METHODS[1:]:
        assert (f"{other}." in " ".join(table_rows(run))) == (other == method), other
    footer = text[text.index("Written by safeclip report.") :]
    found = [name for name in ("ICML 2024", "NeurIPS 2023", "ICCV 2023", "ICLR 2025") if name in footer]
    assert found == {"clip": [], "safeclip": ["ICML 2024"], "roclip": ["NeurIPS 2023"]}.get(
        method, ["ICCV 2023"] if method == "cleanclip" else ["ICLR 2025"]
    )


def test_methods_stand_in_their_usual_order_plain_clip_first(all_methods):
    page = page_of(all_methods)
    assert [run.method for run in read(all_methods).runs] == list(METHODS)
    assert "plain CLIP, SafeCLIP, RoCLIP, CleanCLIP and filtered CLIP, the same poisoned data" in page.text
    assert "292 of 3,000 pairs" in page.text
    assert "from scratch" not in page.text, "CleanCLIP goes on from given weights"


def test_pairs_are_counted_on_poisoned_data_and_never_on_trusted_pairs(all_methods, tmp_path):
    demo = shutil.copytree(all_methods, tmp_path / "demo")
    for method in ("clip", "safeclip", "roclip"):
        shutil.rmtree(demo / method)
    assert "292 of 3,000 pairs" in page_of(demo).text


def test_phases_are_marked_for_one_run_alone(all_methods):
    page_of(all_methods)
    assert 'class="band' not in html(all_methods)


def test_all_that_did_not_hold_are_named_in_one_warning_an_attack(all_methods):
    text = page_of(all_methods).text
    assert (
        "RoCLIP, CleanCLIP and filtered CLIP did not hold against Targeted poisoning: 6 of 16 pictures (37.5\u00a0%), "
        "9 of 16 pictures (56.2\u00a0%) and 15 of 16 pictures (93.8\u00a0%) still get the attacker's answer." in text
    )
    assert "RoCLIP and CleanCLIP did not hold against BadNets patch" in text
    assert text.count("Careful.") == 2


def test_a_filters_looking_does_not_count_as_longer_training(all_methods, tmp_path):
    assert "different numbers of epochs" not in page_of(all_methods).text
    demo = shutil.copytree(all_methods, tmp_path / "demo")
    edit_config(demo / "filter", filter={"look_epochs": 6})
    assert "different numbers of epochs" in page_of(demo).text


def test_the_price_is_told_of_all_defences_at_once(all_methods):
    assert (
        "SafeCLIP gets 33.9\u00a0% right at its first guess, RoCLIP 26.2\u00a0%, CleanCLIP 33.0\u00a0%, "
        "filtered CLIP 35.2\u00a0% and plain CLIP 36.1\u00a0%: that is what the defence costs."
        in page_of(all_methods).text
    )


def test_lines_of_several_defences_have_strokes_of_their_own(all_methods):
    page_of(all_methods)
    kinds = set(re.findall(r'<path class="line (safeclip dash\d)" d', html(all_methods)))
    assert kinds == {f"safeclip dash{i}" for i in range(4)}


def test_the_first_notes_of_a_log_are_shown_as_text(run_of):
    run = run_of("roclip")
    for i in range(9):
        append(run, event="note", epoch=i, text=HOSTILE[0] if i == 0 else f"remark {i}")
    append(run, event="note", epoch=1, text=7)
    page = page_of(run)
    assert f"RoCLIP, epoch 0: {HOSTILE[0]}." in page.text
    assert "remark 5" in page.text
    assert "remark 6" not in page.text
    assert "RoCLIP: 3 more notes in log.jsonl." in page.text
    assert "script" not in page.tags


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_a_rivals_files_cannot_change_the_page(run_of, text):
    run = run_of("filter")
    change_split(run, detector=text, planted_by_attack={text: [1, 2]})
    edit_config(run, filter={"detector": text})
    page = page_of(run)
    assert not {"script", "b"} & set(page.tags)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\ud800]", html(run))


@pytest.mark.parametrize("method", METHODS)
def test_the_page_knows_every_phase_objective_and_split_of_the_real_methods(method):
    own = {"safeclip.warmup_epochs": 1, "roclip.first": 2, "filter.look_epochs": 3, "optim.batch_size": 20}
    own |= {"model.weights": "model.safetensors"} if method == "cleanclip" else {}
    cfg, data = config(method=method, epochs=6, **own), Data(60)
    real = build_method(cfg, 60, Data.dim)
    epochs = list(drive(real, cfg, data))
    assert {epoch.phase for epoch in epochs} <= training._PHASES.keys()
    assert real.objectives.keys() <= training._OBJECTIVES.keys()
    assert bool(data.records) == (method in SPLITTING), "the fixture splits where the methods do"
    if method == "filter":
        assert {"uid", "similarity", "safe", "risk"} == data.columns[0].keys()
        assert {"epoch", "detector", "safe_share", "safe_count"} == data.records[0].keys()
