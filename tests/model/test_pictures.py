"""A model's mean and deviation are taken over; one whose pictures would be prepared otherwise than here is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from safeclip.errors import InputError
from safeclip.model.build import Clip
from safeclip.model.export import export
from safeclip.model.load_folder import load_folder
from safeclip.model.pictures import three_numbers, transformers_normalisation


def with_settings(clip: Clip, folder: Path, form: str, given: dict[str, Any]) -> Path:
    """A model's folder in which the settings of its pictures are changed."""
    export(clip, folder, form)
    name = "open_clip_config.json" if form == "open_clip" else "preprocessor_config.json"
    about = json.loads((folder / name).read_text())
    (about["preprocess_cfg"] if form == "open_clip" else about).update(given)
    (folder / name).write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize(
    ("form", "given", "said"),
    [
        ("open_clip", {"resize_mode": "squash"}, "preprocess_cfg.resize_mode = 'squash'"),
        ("open_clip", {"resize_mode": "longest"}, "preprocess_cfg.resize_mode = 'longest'"),
        ("open_clip", {"interpolation": "bilinear"}, "preprocess_cfg.interpolation = 'bilinear'"),
        ("open_clip", {"mean": 0.5}, "preprocess_cfg.mean = 0.5; give three numbers"),
        ("open_clip", {"mean": 0}, "preprocess_cfg.mean = 0; give three numbers"),
        ("open_clip", {"mean": "abc"}, "preprocess_cfg.mean = abc; give three numbers"),
        ("open_clip", {"mean": [0.5] * 4}, "preprocess_cfg.mean = (0.5, 0.5, 0.5, 0.5); give three numbers"),
        ("open_clip", {"std": [1, float("nan"), 1]}, "preprocess_cfg.std = (1, nan, 1); give three numbers"),
        ("open_clip", {"std": [0, 0, 0]}, "preprocess_cfg.std = (0, 0, 0); give three numbers above 0"),
        ("transformers", {"do_resize": False}, "do_resize = False"),
        ("transformers", {"do_center_crop": False}, "do_center_crop = False"),
        ("transformers", {"do_rescale": False}, "do_rescale = False"),
        ("transformers", {"do_normalize": False}, "do_normalize = False"),
        ("transformers", {"size": {"shortest_edge": 40}}, "size = {'shortest_edge': 40}"),
        ("transformers", {"size": {"height": 32, "width": 32}}, "size = {'height': 32, 'width': 32}"),
        ("transformers", {"size": 40}, "size = 40"),
        ("transformers", {"crop_size": {"height": 32, "width": 24}}, "crop_size = {'height': 32, 'width': 24}"),
        ("transformers", {"resample": 2}, "resample = 2"),
        ("transformers", {"rescale_factor": 1.0}, "rescale_factor = 1.0"),
        ("transformers", {"rescale_factor": [1]}, "rescale_factor = [1]"),
        ("transformers", {"image_mean": [float("inf")] * 3}, "image_mean = [inf, inf, inf]; give three numbers"),
    ],
)
def test_pictures_that_are_not_prepared_so_here_are_refused_in_one_line(
    form: str, given: dict[str, Any], said: str, tiny_vit: Clip, tmp_path: Path
) -> None:
    folder = with_settings(tiny_vit, tmp_path / "out", form, given)
    with pytest.raises(InputError) as error:
        load_folder(folder)
    assert said in str(error.value)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("form", "given"),
    [
        ("open_clip", {"resize_mode": "shortest", "interpolation": "bicubic", "size": [32, 32], "fill_color": 0}),
        ("open_clip", {"resize_mode": None, "interpolation": None}),
        ("transformers", {"size": 32, "crop_size": 32, "rescale_factor": 0.00392156862745098}),
        ("transformers", {"do_convert_rgb": False}),
    ],
)
def test_what_is_done_here_may_be_said_in_each_of_the_librarys_ways(
    form: str, given: dict[str, Any], tiny_vit: Clip, tmp_path: Path
) -> None:
    clip = load_folder(with_settings(tiny_vit, tmp_path / "out", form, given))
    assert (clip.mean, clip.std, clip.image_size) == (tiny_vit.mean, tiny_vit.std, 32)


def test_what_is_left_out_is_the_librarys_default() -> None:
    assert transformers_normalisation({}, "", 224) == {}


def test_a_clip_image_processor_as_transformers_writes_it_is_taken(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32, image_mean=[0.1, 0.2, 0.3])
    processor.save_pretrained(tmp_path)
    about = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert transformers_normalisation(about, "", 32)["mean"] == (0.1, 0.2, 0.3)


@pytest.mark.parametrize("values", [True, [True] * 3, [10**400] * 3, [0.5, 0.5], None, {"r": 1}, ["1"] * 3])
def test_what_is_no_three_numbers_is_no_mean(values: Any) -> None:
    with pytest.raises(InputError, match=r"mean = .*; give three numbers"):
        three_numbers(values, "mean")
    assert three_numbers([0, -1, 2.5], "mean") == (0.0, -1.0, 2.5)
