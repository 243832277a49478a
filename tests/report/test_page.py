"""The page: escaped, self-contained, true to the files, and whole where files are missing."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from safeclip.attacks.manifest import Manifest, to_png
from safeclip.bench.wording import _md as markdown_of
from safeclip.data.decode import decode
from safeclip.data.sources import open_source
from safeclip.errors import InputError
from safeclip.report import write_report
from safeclip.report.facts import read
from safeclip.report.page import environment
from safeclip.report.pictures import Triggered, data_uri
from safeclip.report.words import LONG, percent
from tests.report.make_fixture import make_demo

HOSTILE = [
    "<script>alert(1)</script>",
    "\"onerror='x' <img src=http://evil.example/x>",
    "]]></svg></style><b>",
    "safe\u202egnp.exe\u2066\x00\ud800",
    "{{ 7 * 7 }}{% raw %}",
]


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that are closed and were never opened."""

    VOID = frozenset({"meta", "img", "br", "rect", "path", "line", "circle"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.parts, self.stack, self.images = [], [], [], [], []
        self.feed(text)
        assert self.stack == []
        self.text = re.sub(r"[ \n]+", " ", "".join(self.parts))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [
            (tag, k, v) for k, v in attributes if k in ("src", "href", "srcset", "action", "data", "xlink:href")
        ]
        self.images += [dict(attributes)] if tag == "img" else []
        assert not [k for k, _ in attributes if k.startswith("on")]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data):
        self.parts.append(data if self.stack[-1:] != ["style"] else "")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_demo(tmp_path_factory.mktemp("made") / "demo")


@pytest.fixture
def demo(made, tmp_path):
    return shutil.copytree(made, tmp_path / "demo")


def page_of(folder):
    file = write_report(folder)
    assert file == folder / "report.html"
    return Page(file.read_text("utf-8"))


def change(file, edit):
    value = json.loads(file.read_text("utf-8"))
    edit(value)
    file.write_text(json.dumps(value), "utf-8")


def telling(page):
    return [image for image in page.images if image["alt"].startswith("one target picture: ")]


def attack_of(metrics, name):
    return next(a for a in metrics["attack"] if a["name"] == name)


def test_the_page_needs_nothing_but_itself(made):
    page = page_of(made)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert page.links
    assert all(k == "src" and v.startswith("data:image/png;base64,") for _, k, v in page.links)
    text = (made / "report.html").read_text("utf-8")
    assert not re.search(r"https?:|url\(|@import", text)
    assert "default-src 'none'" in text


def test_numbers_are_those_of_the_files(made):
    page = page_of(made)
    assert "16 of 16 attacked pictures fooled plain CLIP. SafeCLIP: 0 of 16." in page.text
    for method in ("clip", "safeclip"):
        metrics = json.loads((made / method / "metrics.json").read_text("utf-8"))
        zero, patch = metrics["zero_shot"], attack_of(metrics, "badnets")
        low, high = zero["ci95"]
        for said in (
            percent(zero["top1"]),
            percent(zero["top5"]),
            f"{100 * low:.1f} to {100 * high:.1f}",
            f"{patch['k']:,} of {patch['n']:,}",
            percent(patch["asr"]),
        ):
            assert said in page.text, said
    last = json.loads((made / "safeclip" / "split.jsonl").read_text("utf-8").splitlines()[-1])
    inside, total = last["planted_by_attack"]["badnets"]
    assert f"{inside} of {total}" in page.text
    assert "Careful." not in page.text


def test_what_each_veto_keeps_out_is_said_most_first(made):
    text = page_of(made).text
    assert "340 pairs never become safe" in text
    assert text.index("a picture that occurs too often: 310") < text.index(
        "a texture that says what the caption says: 40"
    )


def test_every_target_and_every_patched_picture_is_shown_with_its_name(made):
    page = page_of(made)
    names = [image["alt"] for image in page.images]
    assert sum(name.startswith("target picture: ") for name in names) == 16
    assert sum(name.endswith("with the trigger") for name in names) == 6
    assert "picture not at hand" not in page.text


def test_triggered_pictures_are_the_evaluated_ones(made):
    import base64
    import io

    import numpy as np
    from PIL import Image

    page = page_of(made)
    shown = [image["src"] for image in page.images if image["alt"].endswith("with the trigger")][1]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.split(",")[1]))))
    planted = Manifest.load(made / "manifest.parquet").planted
    trigger = next(p.trigger for p in planted if p.trigger)
    clean = decode(open_source("emoji:", split="test")[181].image, max_pixels=10**7)
    assert np.array_equal(picture, trigger(clean, 0, 181, stream=1))


@pytest.mark.parametrize("read_by", [{"image_column": "shown"}, {"image_column": ["a list"]}, "no mapping", None])
def test_pictures_of_other_data_are_read_as_they_were_evaluated(made, tmp_path, read_by):
    source = open_source("emoji:", split="test")
    rows = ["shown,caption"]
    for uid in range(200):
        (tmp_path / f"{uid}.png").write_bytes(to_png(source[uid].image))
        rows.append(f"{uid}.png,a picture")
    (tmp_path / "held-out.csv").write_text("\n".join(rows), "utf-8")
    clip = read(made).runs[0]
    clip.metrics = {"data": {"spec": f"csv:{tmp_path}/held-out.csv", "split": "test", "read_by": read_by}}
    attack = next(a for a in Manifest.load(made / "manifest.parquet").attacks if a["name"] != "targeted")["name"]
    manifest = Manifest.load(made / "manifest.parquet")
    clean, triggered = Triggered(clip, manifest, attack).pair(181)
    if read_by == {"image_column": "shown"}:
        assert clean == data_uri(decode(source[181].image, max_pixels=10**7))
        assert triggered not in (None, clean)
    else:
        assert clean is triggered is None


def test_a_sentence_that_names_every_attack_keeps_its_end():
    """On the page of a bench too, whose warning says at the end what the row is worth."""
    text = f"{'Targeted poisoning in one run with all others, ' * 60}did not plant."
    assert environment().from_string("{{ text }}").render(text=text) == text
    assert markdown_of(text).endswith("did not plant.")
    assert len(environment().from_string("{{ text }}").render(text="x" * 10_000_000)) == LONG


def test_text_of_the_data_cannot_change_the_page(tmp_path):
    folder = make_demo(tmp_path / "demo", names=[*HOSTILE[:3], "safe\u202egnp", HOSTILE[4]], caption="x" * 10_000_000)

    def poison(metrics):
        for attack in metrics["attack"]:
            for example, text in zip(attack["examples"], HOSTILE, strict=False):
                example |= {"true": text, "target": text, "called": text}
            attack["target_class"] = HOSTILE[0]
            attack["name"] = attack["name"] if attack["name"] == "targeted" else HOSTILE[2]

    for method in ("clip", "safeclip"):
        change(folder / method / "metrics.json", poison)
    config = folder / "clip" / "config.yaml"
    config.write_text(config.read_text("utf-8").replace("preset: emoji", 'preset: "<script>preset</script>"'), "utf-8")
    change(folder / "summary.json", lambda s: s["machine"].update(cpu="<img src=http://evil.example>"))
    page = page_of(folder)
    text = (folder / "report.html").read_text("utf-8")
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert all(v.startswith("data:image/png;base64,") for _, _, v in page.links)
    assert HOSTILE[0] in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "49{%" not in page.text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\ud800]", text)
    assert "]]>" not in text
    assert len(text) < 2_000_000


@pytest.mark.parametrize("count", [0, 3])
def test_an_attack_that_did_not_plant_is_no_proof(tmp_path, count):
    page = page_of(make_demo(tmp_path / "demo", plain_hits=count))
    assert "Targeted poisoning did not plant" in page.text
    assert "this comparison proves nothing" in page.text
    assert f"{count or 'None'} of 16 attacked pictures fooled plain CLIP." in page.text
    assert not telling(page)


def test_a_defence_that_let_the_attack_through_is_said_to(tmp_path):
    page = page_of(make_demo(tmp_path / "demo", safe_hits=5))
    assert "SafeCLIP: 5 of 16." in page.text
    assert "SafeCLIP did not hold against Targeted poisoning: 5 of 16" in page.text
    assert not telling(page)


def test_one_picture_that_fooled_plain_clip_alone_stands_at_the_top(tmp_path):
    demo = make_demo(tmp_path / "demo", plain_hits=15, safe_hits=1, names=[f"thing {i}" for i in range(16)])
    page = page_of(demo)
    assert telling(page) == page.images[:1]
    name = telling(page)[0]["alt"].removeprefix("one target picture: ")
    called = {}
    for method in ("clip", "safeclip"):
        metrics = json.loads((demo / method / "metrics.json").read_text("utf-8"))
        called[method] = next(e for e in attack_of(metrics, "targeted")["examples"] if e["true"] == name)
    assert called["clip"]["hit"]
    assert not called["safeclip"]["hit"]


MISSING = [
    "summary.json",
    "manifest.parquet",
    "clip/metrics.json",
    "safeclip/metrics.json",
    "safeclip/log.jsonl",
    "safeclip/split.jsonl",
    "safeclip/config.yaml",
]


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_file_is_said_to_be_missing(demo, name):
    (demo / name).unlink()
    page = page_of(demo)
    assert f"{name} is missing" in page.text


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize(
    "content", [b"", b"[1, 2]", b"{", b"\xff\xfe\x00", b'{"runs": 3, "zero_shot": [], "attack": {"a": 1}}\n']
)
def test_a_broken_file_never_stops_the_page(demo, name, content):
    (demo / name).write_bytes(content)
    assert "safeclip" in page_of(demo).text


def test_scores_of_no_split(demo):
    shutil.rmtree(demo / "safeclip" / "scores")
    page = page_of(demo)
    assert "there are no histograms" in page.text
    assert "Who is in the safe set" in page.text


def test_broken_scores(demo):
    for file in (demo / "safeclip" / "scores").iterdir():
        file.write_bytes(b"PAR1 no")
    assert "there are no histograms" in page_of(demo).text


def test_values_of_another_form_leave_a_line(demo):
    change(demo / "clip" / "metrics.json", lambda m: m.update(zero_shot={"top1": "high", "ci95": 3, "classes": 0}))
    splits = demo / "safeclip" / "split.jsonl"
    splits.write_text(
        splits.read_text("utf-8").replace('"planted_by_attack": {', '"planted_by_attack": 7, "x": {'), "utf-8"
    )
    page = page_of(demo)
    assert "split: left out, the files hold values of another form" in page.text


@pytest.mark.parametrize("value", ["null", "NaN", "Infinity", "-Infinity"])
def test_no_nan_reaches_a_chart(demo, value):
    log = demo / "safeclip" / "log.jsonl"
    log.write_text(re.sub(r'"loss": [0-9.]+', f'"loss": {value}', log.read_text("utf-8"), count=9), "utf-8")
    assert "unimodal loss" in page_of(demo).text.lower(), "the chart of the losses is there"
    for svg in re.findall(r"<svg.*?</svg>", (demo / "report.html").read_text("utf-8"), re.S):
        assert not re.search(
            r"nan|inf[^o]", re.sub(r"<text.*?</text>|<title>.*?</title>|aria-label=\"[^\"]*\"", "", svg), re.I
        )


def test_one_run(made, tmp_path):
    shutil.copytree(made / "safeclip", tmp_path / "run")
    shutil.copy(made / "manifest.parquet", tmp_path / "run" / "manifest.parquet")
    page = page_of(tmp_path / "run")
    assert "None of 16 attacked pictures fooled SafeCLIP." in page.text
    assert "There is no plain CLIP run beside this one" in page.text
    assert "How SafeCLIP told them apart" in page.text


def test_a_run_without_attack_or_evaluation(made, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(made / "clip", run)
    change(run / "metrics.json", lambda m: m.update(attack=[]))
    assert "Plain CLIP: 36.1\u00a0% zero-shot top-1 over 200 classes." in page_of(run).text
    change(run / "metrics.json", lambda m: m.update(zero_shot=None, retrieval={"mean_r5": 0.093, "n_images": 80}))
    among = "among the first five for 9.3\u00a0% of 80 pictures"
    assert f"Plain CLIP: picture and caption find each other {among}. No classes." in page_of(run).text
    (run / "metrics.json").unlink()
    log = run / "log.jsonl"
    log.write_text("".join(log.read_text("utf-8").splitlines(keepends=True)[:30]), "utf-8")
    page = page_of(run)
    assert "not evaluated yet" in page.text
    assert "has not finished training: 2 of 12 epochs are done" in page.text


def test_a_folder_without_runs_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="no run here"):
        write_report(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        write_report(tmp_path / "none")


def test_a_page_does_not_name_folders_of_the_machine(made, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(made / "clip", run)
    config = run / "config.yaml"
    config.write_text(
        config.read_text("utf-8").replace("spec: 'emoji:'", "spec: csv:/home/somebody/pairs.csv"), "utf-8"
    )
    page_of(run)
    text = (run / "report.html").read_text("utf-8")
    assert "csv:pairs.csv" in text
    assert "somebody" not in text
    assert str(tmp_path) not in text
