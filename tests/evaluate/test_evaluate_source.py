from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from safeclip.attacks import Manifest, plan, plan_targeted
from safeclip.attacks.manifest import to_png
from safeclip.config import DataConfig
from safeclip.errors import InputError, RunError
from safeclip.evaluate import read_pairs
from safeclip.evaluate import source as module
from safeclip.evaluate.lines import _detection_lines, metric_lines
from safeclip.evaluate.probe_pictures import probe_pictures, probe_splits
from safeclip.evaluate.run import _seen
from safeclip.evaluate.source import evaluate_source
from tests.attacks.fakes import FakeSource
from tests.evaluate.fakes import Constant, Diverged, FakeReader, Perfect
from tests.evaluate.test_probe import splits

TRAIN, VAL, TEST = FakeSource(200), FakeSource(40, seed=5), FakeSource(40, seed=9)


@pytest.fixture(scope="module")
def manifest():
    targeted = plan_targeted(TRAIN, TEST, targets_count=4, captions_each=5, seed=0)
    return Manifest.combine([targeted, plan("badnets", TRAIN, count=9, target_class="dog", avoid=targeted.uids)])


def test_metrics_have_the_form_of_metrics_json(manifest):
    metrics = evaluate_source(Perfect(hijacked="dog"), FakeReader(TEST), ["a {}"], manifest)
    json.dumps(metrics, allow_nan=False)
    assert metrics["zero_shot"].keys() == {"top1", "top5", "n", "ci95", "classes"}
    assert metrics["retrieval"].keys() == {"image_to_text", "text_to_image", "mean_r5", "n_images", "n_captions"}
    assert metrics["linear_probe"] is None
    assert [attack["name"] for attack in metrics["attack"]] == ["targeted", "badnets"]
    wanted = {"name", "asr", "k", "n", "ci95", "base_rate", "target_class", "true_class_rate", "planted", "examples"}
    for attack in metrics["attack"]:
        assert wanted <= attack.keys()
    assert [attack["asr"] for attack in metrics["attack"]] == [0.0, 1.0]
    assert metrics["bad"] == 0


def test_target_pictures_are_no_clean_pictures(manifest):
    model = Perfect(memory={picture.tobytes(): wanted for picture, _, wanted in manifest.targets()})
    assert evaluate_source(model, FakeReader(TEST), ["a {}"])["zero_shot"]["top1"] == 36 / 40
    attacked = evaluate_source(model, FakeReader(TEST), ["a {}"], manifest)
    assert (attacked["zero_shot"]["top1"], attacked["zero_shot"]["n"]) == (1.0, 36)
    assert attacked["attack"][0]["asr"] == 1.0


def test_unreadable_pairs_are_counted_and_left_out():
    metrics = evaluate_source(Perfect(), FakeReader(FakeSource(40, seed=9, bad=[1, 2, 39])), ["a {}"])
    assert metrics["bad"] == 3
    assert metrics["zero_shot"]["n"] == metrics["retrieval"]["n_images"] == 37
    assert metrics["zero_shot"]["top1"] == 1.0
    with pytest.raises(InputError, match="none of 4 pairs can be read"):
        evaluate_source(Perfect(), FakeReader(FakeSource(4, bad=range(4))), ["a {}"])


def test_data_without_classes_has_no_zero_shot_but_attacks_bring_their_own(manifest):
    reader = FakeReader(FakeSource(40, seed=9, named=False))
    plain = evaluate_source(Perfect(), reader, ["a {}"])
    assert plain["zero_shot"] is None
    assert plain["attack"] == []
    attacked = evaluate_source(Perfect(hijacked="dog"), reader, ["a {}"], manifest)
    assert attacked["zero_shot"] is None
    assert attacked["attack"][0]["n"] == 4
    assert attacked["attack"][1]["asr"] == 1.0


def test_an_attack_that_cannot_be_measured_says_why_and_the_rest_is_measured(manifest):
    swap = plan("class-swap", TRAIN, count=5, from_class="cat", target_class="dog", avoid=manifest.uids)
    reader = FakeReader(FakeSource(40, seed=9, classes=("bird", "dog"), fingerprint="two"))
    model = Perfect(hijacked="dog", classes=("bird", "dog", "a third", "a fourth"))
    metrics = evaluate_source(model, reader, ["a {}"], Manifest.combine([manifest, swap]))
    (*_, missed) = metrics["attack"]
    assert missed == {"name": "class-swap", "kind": "swap", "asr": None, "why": missed["why"]}
    assert "no picture evaluated is of the class 'cat'" in missed["why"]
    assert metrics["zero_shot"]["top1"] == 1.0
    assert metrics["attack"][1]["asr"] == 1.0
    assert f"class-swap: not measured: {missed['why']}" in metric_lines(metrics)


def test_classes_that_a_model_reads_alike_are_one_class():
    class Reads(Perfect):
        def _class(self, image):
            return super()._class(image) % 2  # both kinds of dog are dogs

    source = FakeSource(40, seed=9, classes=("Dog", "bird", "_dog_"), fingerprint="three")
    zero = evaluate_source(Reads(classes=("dog", "bird")), FakeReader(source), ["a {}"])["zero_shot"]
    assert (zero["top1"], zero["n"], zero["classes"]) == (1.0, 40, 2)


def test_nothing_to_measure_is_an_error_and_not_an_empty_line():
    class Folder(FakeSource):
        captions_from_classes = True

    with pytest.raises(InputError, match="nothing to measure: 1 classes"):
        evaluate_source(Perfect(), FakeReader(Folder(40, classes=("dog",))), ["a {}"])


def test_notes_stand_before_the_numbers():
    metrics = evaluate_source(Perfect(), FakeReader(FakeSource(40, seed=9, bad=[1, 2, 39])), ["a {}"])
    metrics["data"] = {"classes": 4, "seen_in_training": True}
    first, second, *_ = metric_lines(metrics)
    assert first == "3 of the pairs asked for cannot be read and are left out"
    assert second == "pairs that were trained on are among these: the numbers are not of new pictures"
    metrics["zero_shot"], metrics["data"]["classes"] = None, 1
    assert (
        "no zero-shot: it takes pictures of two classes or more that read differently; the data has 1"
        in metric_lines(metrics)
    )


def test_training_data_is_known_however_its_spec_is_written(tmp_path):
    rows = ["image,caption"]
    for uid in range(10):
        (tmp_path / f"{uid}.png").write_bytes(to_png(TEST[uid].image))
        rows.append(f"{uid}.png,a picture")
    for name in ("pairs.csv", "copy.csv"):
        (tmp_path / name).write_text("\n".join(rows), "utf-8")
    (tmp_path / "other.csv").write_text("\n".join([*rows[:5], "7.png,a picture", *rows[6:]]), "utf-8")
    trained = DataConfig(spec=f"csv:{tmp_path}/pairs.csv")
    for same in (f"{tmp_path}/pairs.csv", f"csv:{tmp_path}/../{tmp_path.name}/pairs.csv", f"csv:{tmp_path}/copy.csv"):
        assert _seen(replace(trained, spec=same), trained)
    for other in (f"csv:{tmp_path}/other.csv", f"csv:{tmp_path}/gone.csv", "wds:http://example.invalid/pairs.tar"):
        assert not _seen(replace(trained, spec=other), trained)


def test_a_split_that_holds_the_one_trained_on_is_no_new_data():
    mine = DataConfig(spec="emoji:pairs=9")
    for split, of_training, seen in (
        ("all", "train", True),
        ("test", "all", True),
        ("trainval", "train", True),
        ("val", "trainval", True),
        ("test", "trainval", False),
        ("test", "train", False),
    ):
        assert _seen(replace(mine, split=split), replace(mine, split=of_training)) is seen, (split, of_training)
    assert not _seen(DataConfig(spec="csv:other.csv", split="all"), mine)


def test_detection_says_which_scores_not_every_pair_has():
    entry = {"epoch": 3, "attack": None, "planted": 10, "pairs": 100, "auroc": 0.75, "recall": {"0.1": 0.5}}
    entries = [
        entry | {"score": "texture"},
        entry | {"score": "similarity", "planted": 2, "pairs": 92},
        entry | {"score": "word", "planted": 10, "pairs": 10, "auroc": None},
    ]
    first, second = _detection_lines(entries)
    assert first == (
        "detection at epoch 3, 10 of 100 pairs planted: AUROC texture 0.750, similarity 0.750 (of 2 of 92)"
    )
    assert second == "planted pairs among the riskiest 10 %: texture 50.0%, similarity 50.0%"
    assert _detection_lines(entries[2:]) == []


def test_classes_that_an_attack_adds_do_not_enter_zero_shot(manifest):
    reader = FakeReader(FakeSource(40, seed=9, classes=("bird", "cat"), fingerprint="two"))
    metrics = evaluate_source(Perfect(), reader, ["a {}"], manifest)
    assert metrics["zero_shot"]["classes"] == 2
    assert metrics["attack"][1]["n"] == 40


def test_limit_is_drawn_the_same_every_time_and_not_from_one_end():
    read = []

    class Watched(FakeReader):
        def read(self, uid):
            read.append(uid)
            return super().read(uid)

    first = evaluate_source(Perfect(), Watched(TEST), ["a {}"], limit=10)
    again = evaluate_source(Perfect(), Watched(TEST), ["a {}"], limit=10)
    assert first == again
    assert first["zero_shot"]["n"] == 10
    assert read[:10] == sorted(read[:10]) == read[10:]
    assert max(read) > 20
    with pytest.raises(InputError, match="limit = 0"):
        evaluate_source(Perfect(), FakeReader(TEST), ["a {}"], limit=0)


def test_a_limit_may_keep_to_few_shards():
    """Of far shards each is copied whole, for however few of its pairs."""
    read = []

    class Sharded(FakeSource):
        ends_S, remote = np.array([8, 16, 24, 32, 40]), True

        def check_window(self, window):
            raise NotImplementedError

        fetch = check_window

    class Watched(FakeReader):
        def read(self, uid):
            read.append(uid)
            return super().read(uid)

    evaluate_source(Perfect(), Watched(Sharded(40, seed=9)), ["a {}"], limit=10, few_shards=True)
    assert len({uid // 8 for uid in read}) == 2, "8 of one, 2 of another"
    read.clear()
    evaluate_source(Perfect(), Watched(Sharded(40, seed=9)), ["a {}"], limit=10)
    assert len({uid // 8 for uid in read}) > 3


def test_retrieval_takes_a_bounded_number_of_images(monkeypatch):
    monkeypatch.setattr(module, "RETRIEVAL_IMAGES", 12)
    metrics = evaluate_source(Perfect(), FakeReader(TEST), ["a {}"])
    assert metrics["retrieval"]["n_images"] == 12
    assert metrics["zero_shot"]["n"] == 40


def test_constant_model_scores_nothing_and_a_diverged_one_is_an_error(manifest):
    metrics = evaluate_source(Constant(), FakeReader(TEST), ["a {}"], manifest)
    assert metrics["zero_shot"]["top1"] == metrics["retrieval"]["mean_r5"] == 0.0
    assert [attack["asr"] for attack in metrics["attack"]] == [0.0, 0.0]
    with pytest.raises(RunError, match="diverged"):
        evaluate_source(Diverged(), FakeReader(TEST), ["a {}"])


def test_captions_and_images_stay_together():
    """A model that knows each pair by heart finds every partner."""

    class Heart:
        def crop(self, image):
            return image

        def images(self, images, batch=256):
            return self._rows([image.tobytes() for image in images])

        def texts(self, texts, batch=1024):
            number = {c: TEST[u].image.tobytes() for u in range(40) for c in TEST.captions(u)}
            return self._rows([number.get(text, b"") for text in texts])

        def reads(self, texts):
            return [text.encode() for text in texts]

        def _rows(self, keys):
            import torch
            import torch.nn.functional as F

            seeds = [int.from_bytes(key[:6], "big") for key in keys]
            rows = np.stack([np.random.default_rng(seed).normal(size=32) for seed in seeds])
            return F.normalize(torch.from_numpy(rows).float(), dim=1)

    metrics = evaluate_source(Heart(), FakeReader(TEST), ["a {}"])
    assert metrics["retrieval"]["image_to_text"]["r1"] == metrics["retrieval"]["text_to_image"]["r1"] == 1.0


def test_progress_is_told_where_there_is_much_to_read_and_nobody_asked_for_quiet(monkeypatch, capfd):
    monkeypatch.setattr(read_pairs, "_SOON", 10)
    evaluate_source(Perfect(), FakeReader(TEST), ["a {}"])
    assert capfd.readouterr().err == ""
    evaluate_source(Perfect(), FakeReader(TEST), ["a {}"], quiet=False)
    assert "evaluate  100%  pictures 40/40" in capfd.readouterr().err


def test_target_pictures_are_no_clean_pictures_to_the_probe_either():
    manifest = plan_targeted(TRAIN, TEST, targets_count=4, captions_each=5, seed=0)
    model = Perfect(memory={picture.tobytes(): wanted for picture, _, wanted in manifest.targets()})
    trained = probe_pictures(
        model, probe_splits(splits(train=TRAIN, val=VAL, test=TEST), TEST, "test"), FakeReader, TEST.class_names
    )
    found = evaluate_source(model, FakeReader(TEST), ["a {}"], manifest, trained=trained)["linear_probe"]
    assert (found["top1"], found["n"]) == (1.0, 36)


def test_the_same_uids_of_other_data_stay_clean_pictures():
    manifest = plan_targeted(TRAIN, TEST, targets_count=4, captions_each=5, seed=0)
    assert evaluate_source(Perfect(), FakeReader(FakeSource(40, seed=10)), ["a {}"], manifest)["zero_shot"]["n"] == 40
