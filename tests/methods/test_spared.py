"""What the vetoes think twice of. They spare pictures with a pattern by nature, never what was laid over some, whatever
their captions; and look again at pairs that say what accused ones say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from safeclip.config import SafeclipConfig
from safeclip.errors import InputError
from safeclip.methods.verdicts import SCORED, Verdict, judge, spared, suspected
from safeclip.methods.vetoes import Vetoes
from safeclip.signals.glance import Glance
from safeclip.signals.outlying import outlying
from safeclip.signals.suspects import suspects
from tests.methods.driven import Data, config
from tests.signals.natural import classed, natural

COUNT = 1000
SHORE, TARGET = 3, 4


def data(kind: str) -> tuple[Data, np.ndarray]:
    """Pairs of ten classes, of which half of one has much in common by nature; and those that are planted."""
    made = Data(COUNT)
    pictures, _, of = classed(COUNT)
    rng = np.random.default_rng(1)
    details = natural(8, 8).astype(float) - 128

    def blur(uid: int) -> None:
        """To its content, and faint details, the same few in all, of each more or less."""
        blurred = Image.fromarray(pictures[uid]).resize((8, 8), Image.Resampling.BOX).resize((32, 32))
        share = rng.normal(0, 0.1, 8)
        pictures[uid] = (np.asarray(blurred) + np.einsum("d,dhwc->hwc", share, details)).clip(0, 255)

    for uid in np.flatnonzero(shore(of)):
        blur(uid)
    words = rng.integers(100, 120, (COUNT, 4)).astype(np.uint64)
    words[:, :3] = of[:, None] * 3 + np.arange(1, 4)
    # Captions that have little to do with their pictures:
    words[of > 4, :3] = rng.integers(120, 150, (COUNT, 3))[of > 4]
    among = of == TARGET if kind.startswith("true captions") else ~np.isin(of, [SHORE, TARGET])
    planted = rng.permutation(np.flatnonzero(among))[:60]
    if kind.startswith("faint"):
        for uid in planted:
            blur(uid)
    else:
        patch = rng.integers(0, 256, (7, 7, 3))
        for uid in planted:
            y, x = rng.integers(0, 26, 2) if kind.endswith("anywhere") else (25, 25)
            pictures[uid, y : y + 7, x : x + 7] = patch
    words[planted, :3] = TARGET * 3 + np.arange(1, 4)
    made.thumbnails, made.words = pictures, words
    return made, np.isin(np.arange(COUNT), planted)


def shore(of: np.ndarray) -> np.ndarray:
    return (of == SHORE) & (np.cumsum(of == SHORE) % 2 > 0)


def vetoes(made: Data, **changes: Any) -> Vetoes:
    changes = {"veto": ["patterns", "shifts"], **changes}
    own = config(**{f"safeclip.{name}": value for name, value in changes.items()}).safeclip
    found = Vetoes(own, COUNT, with_groups=False, decides=True)
    found.look(made.tools())
    return found


@pytest.mark.parametrize(
    "kind",
    [
        "captions of another class",
        "faint, captions of another class",
        "true captions",
        "true captions, anywhere",
    ],
)
def test_a_class_alike_by_nature_is_spared_and_an_overlay_is_not(kind: str) -> None:
    made, planted = data(kind)
    alike = shore(classed(COUNT)[2])
    strict, gentle = (vetoes(made, spare=spare) for spare in (False, True))
    everyone = np.arange(COUNT)
    now, then = (np.any([*v.against(everyone).values()], axis=0) for v in (strict, gentle))
    assert now[alike].mean() > 0.9
    assert then[alike].mean() < 0.2
    assert now[planted].mean() == then[planted].mean() == 1
    assert not (then & ~now).any(), "it only spares"


def test_a_watermark_under_captions_of_anything_is_spared_beside_an_overlay() -> None:
    made, rng = Data(COUNT), np.random.default_rng(0)
    of = rng.integers(0, 30, COUNT)
    colour = rng.uniform(-30, 30, (30, 1, 1, 3))[of]  # all that a class has in common
    made.thumbnails = (natural(COUNT, 1) * 0.4 + 76 + colour).clip(0, 255).astype(np.uint8)
    made.words = rng.integers(100, 140, (COUNT, 4)).astype(np.uint64)
    made.words[:, 0] = of + 1
    planted, watermarked = (np.arange(COUNT) < 60) & (of != TARGET), np.arange(COUNT) >= 850
    made.words[planted, 0] = TARGET + 1
    for some, corner in ((planted, np.s_[-8:, -8:]), (watermarked, np.s_[:8, :8])):
        made.thumbnails[(some, *corner)] = rng.integers(0, 256, (8, 8, 3))
    strict, gentle = (vetoes(made, veto=["patterns"], spare=spare) for spare in (False, True))
    now, then = (v.against(np.arange(COUNT))["patterns"] for v in (strict, gentle))
    assert now[planted].all()
    assert then[planted].all()
    assert now[watermarked].mean() > 0.9
    assert then[watermarked].mean() < 0.1


def test_one_planted_pair_that_looks_like_its_caption_falls_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(100, 160, (2000, 5)).astype(np.uint64)
    words[:90, 0] = 7  # 60 planted pairs, and 30 of their class that nothing accuses
    glance = Glance(
        np.zeros(2000, np.uint64), rng.integers(0, 256, (2000, 32, 32, 3), np.uint8), np.zeros((2000, 90)), words
    )
    accused, known = np.zeros((2, 2000), bool)
    accused[:60], accused[1900:] = True, True
    known[0], known[1900:1920] = True, True
    monkeypatch.setattr("safeclip.methods.verdicts.fits", lambda *_, **__: np.zeros(2000, np.float32))
    monkeypatch.setattr("safeclip.methods.verdicts.vouched", lambda *_, **__: known)
    monkeypatch.setattr("safeclip.methods.verdicts.untied", lambda *_, **__: np.zeros(2000, bool))
    own = config(**{"safeclip.veto": ["patterns"]}).safeclip
    kept = spared(glance, {"patterns": accused}, np.zeros(2000, bool), own, torch.device("cpu"))
    assert np.array_equal(np.flatnonzero(kept), np.arange(1900, 1920))


@pytest.mark.parametrize("spare", [True, False])
def test_an_overlay_in_all_degrees_that_looks_like_its_new_caption_falls_whole(
    spare: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pattern may look like a class to whoever compares content: then all of its pictures are vouched for."""
    made, rng = Data(COUNT), np.random.default_rng(0)
    planted = np.arange(COUNT) < 120
    share = np.where(planted, 0.3 * 0.1 ** (np.arange(COUNT) / 120), 0.0)[:, None, None, None]
    pattern = rng.integers(0, 256, (32, 32, 3))
    made.thumbnails = ((1 - share) * natural(COUNT, 3) + share * pattern).astype(np.uint8)
    made.words = rng.integers(100, 160, (COUNT, 5)).astype(np.uint64)
    made.words[planted, 0] = 7
    monkeypatch.setattr("safeclip.methods.verdicts.vouched", lambda *_, **__: np.ones(COUNT, bool))
    found = vetoes(made, veto=["patterns"], spare=spare, pattern_deviations=60)
    barred = found.against(np.arange(COUNT))["patterns"]
    assert barred[:100].mean() > 0.95
    assert barred[~planted].mean() < 0.01


def test_pairs_that_texture_hardly_sees_fall_with_those_that_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(100, 160, (2000, 5)).astype(np.uint64)
    words[:150, 0] = 7  # 90 planted pairs, of which texture sees 70, and 60 of their class
    texture = rng.normal(0, 1, 2000).astype(np.float32)
    texture[:70], texture[70:90] = 10, 1.5
    own = config(**{"safeclip.veto": ["texture", "suspects"]}).safeclip
    glance = Glance(np.zeros(2000, np.uint64), np.zeros((2000, 32, 32, 3), np.uint8), np.zeros((2000, 90)), words)
    seen = {"texture": outlying(texture, own.texture_deviations)}
    again = judged(glance, texture, own, monkeypatch).barred["suspects"]
    assert np.array_equal(again, suspected(glance, seen, texture, own))
    assert not seen["texture"][70:90].any()
    assert again[:90].all()
    assert not again[150:].any(), "they do not say the word"
    assert np.array_equal(again[90:150], outlying(texture, own.suspect_deviations)[90:150]), "the class, by its texture"
    alike = {"patterns": seen["texture"], "texture": np.zeros(2000, bool)}
    assert not suspected(glance, alike, texture, own).any(), "much is alike by nature"


def judged(glance: Glance, texture: np.ndarray, own: SafeclipConfig, monkeypatch: pytest.MonkeyPatch) -> Verdict:
    """The verdict where `texture` has these scores."""
    monkeypatch.setitem(SCORED, "texture", replace(SCORED["texture"], score=lambda *_: texture))
    return judge(glance, own, torch.device("cpu"))


def test_texture_keeps_out_those_that_share_a_word_and_those_whose_texture_is_striking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(100, 160, (2000, 5)).astype(np.uint64)
    words[:150, 0] = 7  # 60 planted pairs, and 90 of their class
    texture = rng.normal(0, 1, 2000).astype(np.float32)
    texture[:60], texture[1900:1980], texture[1980:] = 2.7, 2.5, 6.0
    own = config(**{"safeclip.veto": ["texture"]}).safeclip
    glance = Glance(np.zeros(2000, np.uint64), np.zeros((2000, 32, 32, 3), np.uint8), np.zeros((2000, 90)), words)
    out = outlying(texture, own.texture_deviations)
    kept_out = judged(glance, texture, own, monkeypatch).barred["texture"]
    assert out[1900:].all()
    assert kept_out[:60].all()
    assert kept_out[1980:].all()
    assert kept_out[150:1980].mean() < 0.01 < out[150:1980].mean(), "a tail that shares no word"


def test_a_class_that_is_a_texture_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(100, 160, (2000, 5)).astype(np.uint64)
    words[:150, 0] = 7  # all of a class, which lean as one
    texture = rng.normal(0, 1, 2000).astype(np.float32)
    texture[:150] = rng.normal(1.6, 0.7, 150)
    own = config(**{"safeclip.veto": ["texture", "suspects"]}).safeclip
    glance = Glance(np.zeros(2000, np.uint64), np.zeros((2000, 32, 32, 3), np.uint8), np.zeros((2000, 90)), words)
    out = outlying(texture, own.texture_deviations)
    assert 0.3 < out[:150].mean() < 0.6
    assert suspects(words, out)[:150].all(), "its word is one that many accused pairs share"
    verdict = judged(glance, texture, own, monkeypatch)
    assert verdict.barred["texture"][:150].mean() < 0.1, "what is striking alone"
    assert not verdict.barred["suspects"].any()
    copies = {"texture": out, "copies": out & (np.arange(2000) < 150)}
    assert suspected(glance, copies, texture, own)[:150].any(), "unless something else accuses them"


def test_textures_foretell_the_wider_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def told(textures: np.ndarray, thumbnails: np.ndarray, captions: Any, **_: Any) -> np.ndarray:
        asked.append(captions)
        return np.zeros(len(textures), np.float32)

    monkeypatch.setattr("safeclip.methods.verdicts.textured", told)
    words = np.random.default_rng(0).integers(100, 160, (40, 5)).astype(np.uint64)
    glance = Glance(np.zeros(40, np.uint64), np.zeros((40, 32, 32, 3), np.uint8), np.zeros((40, 90)), words)
    judge(glance, config(**{"safeclip.veto": ["texture"]}).safeclip, torch.device("cpu"))
    assert asked[0](np.arange(40)).shape[1] > glance.captions.shape[1]


def test_pairs_without_words_do_not_turn_texture_against_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(100, 160, (2000, 5)).astype(np.uint64)
    texture = rng.normal(0, 1, 2000).astype(np.float32)
    own = config(**{"safeclip.veto": ["texture", "suspects"]}).safeclip
    blank = Glance(np.zeros(2000, np.uint64), np.zeros((2000, 32, 32, 3), np.uint8), np.zeros((2000, 90)), words)
    blind = np.arange(2000) % 20 < 9
    texture[blind], words[blind] = 0, 0
    seeing = blank.of(~blind)
    wanted = judged(seeing, texture[~blind], own, monkeypatch).barred["texture"]
    assert np.array_equal(judged(blank, texture, own, monkeypatch).barred["texture"][~blind], wanted)
    assert outlying(texture, own.texture_deviations).mean() > 3 * wanted.mean()


def test_what_is_usual_is_asked_of_pairs_with_words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = data("captions of another class")
    made.words[::3] = 0
    asked: list[np.ndarray] = []
    monkeypatch.setattr(
        "safeclip.methods.verdicts.untied", lambda *a, **_: (asked.append(a[4]), np.zeros(COUNT, bool))[1]
    )
    vetoes(made, veto=["patterns", "shifts"], spare=True)
    assert len(asked) == 1
    assert asked[0].any()
    assert not asked[0][::3].any()


def test_suspects_without_texture_are_refused() -> None:
    with pytest.raises(InputError, match="suspects reads the score of texture"):
        config(**{"safeclip.veto": ["patterns", "suspects"]})


def test_what_is_spared_or_doubted_stays_so_after_a_resume() -> None:
    made, _ = data("captions of another class")
    before = vetoes(made, veto=["patterns", "shifts", "texture", "suspects"], spare=True)
    before.barred["suspects"][17] = True
    after = Vetoes(before.own, COUNT, with_groups=False, decides=True)
    after.load_state(before.state())
    glances = made.glances
    after.look(made.tools())
    assert made.glances == glances
    for name, out in before.against(np.arange(COUNT)).items():
        assert np.array_equal(out, after.against(np.arange(COUNT))[name])
    assert after.against(np.arange(COUNT))["patterns"].any()
    assert after.against(np.arange(COUNT))["suspects"][17]


def test_a_state_without_verdicts_is_of_an_older_run_and_its_data_is_looked_at_again() -> None:
    made, _ = data("captions of another class")
    before = vetoes(made, veto=["patterns", "texture", "suspects"], spare=True)
    older = before.state()
    older.tensors = {name: value for name, value in older.tensors.items() if not name.startswith("veto.barred.")}
    after = Vetoes(before.own, COUNT, with_groups=False, decides=True)
    after.load_state(older)
    glances = made.glances
    after.look(made.tools())
    assert made.glances == glances + 1
    for name, out in before.against(np.arange(COUNT)).items():
        assert np.array_equal(out, after.against(np.arange(COUNT))[name])


@pytest.mark.parametrize(
    ("alone", "decides", "veto", "blind"),
    [
        (60, True, ["texture", "words", "suspects"], "texture, words, suspects"),
        (60, True, ["patterns", "words"], "words"),
        (30, True, ["texture"], None),
        (60, False, ["texture"], None),
        (60, True, ["patterns"], None),
    ],
)
def test_the_log_says_once_where_captions_say_nothing_to_the_vetoes(
    alone: int, decides: bool, veto: list[str], blind: str | None
) -> None:
    made = Data(200)
    made.words[:] = np.random.default_rng(0).integers(1, 60, made.words.shape)
    made.words[:alone] = 0
    made.words[:alone, 0] = 1000 + np.arange(alone)
    asked = Vetoes(config(**{"safeclip.veto": veto}).safeclip, 200, with_groups=False, decides=decides)
    for _ in range(2):
        asked.look(made.tools())
    said = "the captions of 30% of the usable pairs share no word with any other pair's: {} see nothing in those"
    assert [note.split(" (")[0] for note in made.notes] == ([said.format(blind)] if blind else [])
