"""A config is checked when it is made, written whole, and read back the same; its errors say field, value and mend."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from safeclip import config as module
from safeclip.config import RunConfig, from_dict, override, read_yaml, to_dict, write_yaml
from safeclip.errors import InputError
from safeclip.presets import PRESETS, preset


def names(values: dict[str, Any], before: str = "") -> list[str]:
    """Dotted names of all settings."""
    found = []
    for name, value in values.items():
        found += names(value, f"{before}{name}.") if isinstance(value, dict) else [before + name]
    return found


SETTINGS = names(to_dict(RunConfig()))
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_whole_and_survives_yaml_and_json(name: str) -> None:
    made = preset(name)
    assert made.preset == name
    for store in (lambda plain: yaml.safe_load(yaml.safe_dump(plain)), lambda plain: json.loads(json.dumps(plain))):
        assert from_dict(RunConfig, store(to_dict(made))) == made


def test_presets_are_made_anew_each_time_and_unknown_ones_named() -> None:
    assert preset("emoji") == preset("emoji")
    with pytest.raises(InputError, match=r"--preset emojis: no such preset; there are emoji, "):
        preset("emojis")


def test_paper_is_the_published_recipe() -> None:
    """The published numbers."""
    run, own = preset("paper"), preset("paper").safeclip
    assert (run.model.name, run.epochs, run.optim.rate, run.optim.betas) == ("RN50", 32, 5e-4, (0.9, 0.999))
    assert (own.warmup_epochs, own.align_epochs, own.posterior, own.growth, own.share_cap) == (5, 1, 0.9, 0.01, 0.85)
    assert (own.risk, own.veto, own.order, own.scoring, own.fit) == (("cosine",), (), "sequential", "fresh", "paper")
    assert own.share_first is None
    assert own.align_travel == pytest.approx(5e-6 * 2000)
    assert run.views.crop_scale == (0.08, 1.0)
    assert run.views.clip_count == 2


@pytest.mark.parametrize("kind", [kind for kind in vars(module).values() if dataclasses.is_dataclass(kind)])
def test_every_field_has_a_line_that_says_what_it_is(kind: type) -> None:
    body = ast.parse(inspect.getsource(kind)).body[0].body
    for field, line in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and not isinstance(field.value, ast.Call):  # a part has its own docstring
            assert isinstance(line, ast.Expr), f"{kind.__name__}.{field.target.id} has no line under it"
            assert isinstance(line.value.value, str)


WRONG = {
    "epochs": (0, "give 1 or more"),
    "seed": (-1, "give a whole number from 0"),
    "checkpoint_minutes": (0.0, "give minutes above 0"),
    "keep_checkpoints": (0, "give 1 or more"),
    "templates": (["a photo"], "each needs a {}"),
    "data.spec": ("", "name the data"),
    "data.workers": (-1, "give 0 or more"),
    "data.max_pixels": (0, "give a positive count"),
    "data.max_caption_chars": (0, "give a positive count"),
    "data.max_bad_share": (1.5, "give a share between 0 and 1"),
    "data.caption_choice": ("two", "choose among one, mean"),
    "model.name": ("", "name an architecture"),
    "model.precision": ("fp16", "choose among auto, bf16, fp32"),
    "views.flip": (-0.1, "give a share between 0 and 1"),
    "views.crop_scale": ([0.5, 0.2], "0 < low <= high <= 1"),
    "views.blur_sigma": ([0.0, 1.0], "0 < low <= high"),
    "views.jitter": ([0.5, 0.5, 0.5, 2.0], "four strengths"),
    "views.clip_count": (3, "choose among 1, 2"),
    "optim.batch_size": (1, "at least 2 pairs a batch"),
    "optim.accumulate": (0, "give 1 or more"),
    "optim.rate": (0.0, "give a positive rate"),
    "optim.unimodal_rate": (-1.0, "give a positive rate"),
    "optim.warmup_share": (2.0, "give a share between 0 and 1"),
    "optim.betas": ([0.9, 1.0], "at least 0 and below 1"),
    "optim.eps": (0.0, "give a positive number"),
    "optim.weight_decay": (-0.1, "give 0 or more"),
    "optim.clip_norm": (0.0, "give a positive norm, or null"),
    "views.text_strength": (10**400, "give a number that is finite"),
    "safeclip.suspect_deviations": (float("inf"), "give a number that is finite"),
    "safeclip.warmup_epochs": (-1, "give 0 or more"),
    "safeclip.align_epochs": (-1, "give 0 or more"),
    "safeclip.align_rate": (0.0, "give a positive rate"),
    "safeclip.align_travel": (0.0, "give a positive product"),
    "safeclip.pool_share": (-0.1, "give a share between 0 and 1"),
    "safeclip.pool_size": (-1, "give 0 or more"),
    "safeclip.posterior": (1.1, "give a share between 0 and 1"),
    "safeclip.share_min": (0.6, "keep it at most share_max"),
    "safeclip.share_first": (1.0, "give a share between 0 and 1"),
    "safeclip.risk": (["colour"], "choose among cosine, neighbours"),
    "safeclip.veto": (["cosine"], "choose among copies, renderings, patterns, shifts, texture, words"),
    "safeclip.copies_allowed": (0, "give 1 or more"),
    "safeclip.pattern_deviations": (0.0, "give a positive number"),
    "safeclip.rendering_deviations": (0.0, "give a positive number"),
    "safeclip.shift_deviations": (-1.0, "give a positive number"),
    "safeclip.texture_deviations": (0.0, "give a positive number"),
    "safeclip.word_deviations": (0.0, "give a positive number"),
    "safeclip.neighbours": (0, "give 1 or more"),
    "safeclip.fit": ("sklearn", "choose among converged, paper"),
    "safeclip.scoring": ("never", "choose among fresh, running"),
    "safeclip.order": ("random", "choose among mixed, sequential"),
    "safeclip.risky_views": (3, "choose among 1, 2"),
    "method": ("magic", "choose among clip, safeclip, roclip, cleanclip, filter"),
    "roclip.every": (0, "give 1 or more epochs"),
    "roclip.first": (1, "give 2 or more"),
    "roclip.pool_share": (0.0, "give a share above 0, at most 1"),
    "roclip.pool_size": (0, "give 1 or more"),
    "cleanclip.unimodal_weight": (-0.5, "give 0 or more"),
    "filter.look_epochs": (0, "give 1 or more"),
    "filter.share": (1.0, "give a share between 0 and 1"),
    "filter.detector": ("lof", "choose among kdist, slof, lid, dao, cosine, neighbours"),
    "filter.k": (1, "give 2 or more"),
    "filter.reference": (16, "give more than filter.k = 16 pairs, or null for all"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_out_of_range_is_named_with_its_field_and_mend(name: str) -> None:
    value, mend = WRONG[name]
    with pytest.raises(InputError) as error:
        override(RunConfig(), {name: value})
    says = str(error.value)
    assert says.startswith(f"{name} = ")
    assert mend in says
    assert "\n" not in says


def test_settings_that_contradict_each_other_are_named() -> None:
    with pytest.raises(InputError, match=r"epochs = 6: safeclip needs more than its 6 warm-up and alignment epochs"):
        override(RunConfig(), {"epochs": 6})
    assert override(RunConfig(), {"epochs": 6, "method": "clip"}).epochs == 6
    for changes, says in (
        ({"method": "roclip", "epochs": 2, "roclip.every": 3}, "epochs = 2: roclip first matches in epoch 3"),
        ({"method": "roclip", "epochs": 7, "roclip.first": 7}, "epochs = 7: roclip first matches in epoch 8"),
        ({"method": "roclip", "epochs": 1, "roclip.every": 1}, "epochs = 1: roclip first matches in epoch 2"),
        ({"method": "filter", "epochs": 8, "filter.look_epochs": 8}, "epochs = 8: filter needs more than its 8 look"),
        ({"method": "filter", "epochs": 1}, "epochs = 1: filter needs more than its 1 look"),
        ({"method": "cleanclip"}, "model.weights = None: cleanclip mends a trained model"),
    ):
        with pytest.raises(InputError, match=re.escape(says)):
            override(RunConfig(), changes)
    with pytest.raises(InputError, match=r"optim\.accumulate = 9: give at most batch_size parts"):
        override(RunConfig(), {"optim.accumulate": 9, "optim.batch_size": 8})


def test_a_config_written_before_a_part_was_added_still_reads() -> None:
    plain = to_dict(RunConfig())
    for part in ("roclip", "cleanclip", "filter"):
        del plain[part]
    assert from_dict(RunConfig, plain) == RunConfig()


@pytest.mark.parametrize("name", ["growth", "safeclip.grow", "optim", "safeclip.growth.x", "", ".", "data..spec"])
def test_an_unknown_setting_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"no such setting; RUN/config\.yaml of any run lists them all"):
        override(RunConfig(), {name: 1})


@given(name=st.sampled_from(SETTINGS), value=JUNK)
def test_a_value_is_taken_or_refused_in_one_line_that_names_the_field_whatever_it_is(name: str, value: Any) -> None:
    says, changed = "", RunConfig()
    try:
        changed = override(RunConfig(), {name: value})
    except InputError as error:
        says = str(error)
    assert from_dict(RunConfig, to_dict(changed)) == changed
    assert not says or name in says
    assert "\n" not in says


def test_whole_numbers_stand_for_floats_and_nothing_else_is_cast() -> None:
    assert isinstance(override(RunConfig(), {"optim.rate": 1}).optim.rate, float)
    for name, value in (("epochs", 3.0), ("epochs", True), ("optim.rate", True), ("seed", "1"), ("evaluate", 1)):
        with pytest.raises(InputError, match=f"{name} = "):
            override(RunConfig(), {name: value})


def test_yaml_of_aliases_is_refused_since_few_bytes_of_it_stand_for_gigabytes() -> None:
    for text in ("seed: [&a [x], *a]", "seed: &a 1\nepochs: *a", "seed: &a [*a]"):
        with pytest.raises(ValueError, match="ComposerError in line"):
            read_yaml(text)
    twice = ["x"]
    assert read_yaml(write_yaml({"one": twice, "other": [twice]})) == {"one": ["x"], "other": [["x"]]}


def test_a_value_of_another_type_is_shown_in_part() -> None:
    for name in ("seed", "data.spec", "views", "optim.betas", "safeclip.fit"):
        for value in (["x"] * 10_000, {"x" * 10_000: 1}):
            with pytest.raises(InputError, match=f"^{name}") as said:
                from_dict(RunConfig, nested(name, value))
            assert len(str(said.value)) < 300, name


def nested(name: str, value: Any) -> dict[str, Any]:
    part, _, leaf = name.partition(".")
    return {part: {leaf: value} if leaf else value}
