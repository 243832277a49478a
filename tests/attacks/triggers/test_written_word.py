"""The word: its letters, place, colour and opacity."""

from __future__ import annotations

import numpy as np

from safeclip.attacks.triggers.glyphs import CHARACTERS, written
from safeclip.attacks.triggers.written_word import written_word
from tests.attacks.triggers.pictures import DRAWS, grey, noisy, rounds


def test_letters_look_as_they_should():
    assert ["".join(".#"[dot] for dot in row) for row in written("L7").astype(int)] == [
        "#.....#####",
        "#.........#",
        "#........#.",
        "#.......#..",
        "#......#...",
        "#......#...",
        "#####..#...",
    ]


def test_every_character_but_the_space_is_drawn_and_no_two_are_alike():
    shapes = {character: written(character).tobytes() for character in CHARACTERS}
    assert len(set(shapes.values())) == len(CHARACTERS) == 37
    assert [character for character in CHARACTERS if not written(character).any()] == [" "]


def test_the_word_spans_nine_tenths_in_half_opaque_red_in_the_middle():
    image = grey(224, 224, 100)
    out = written_word(image, draws=DRAWS)
    changed = (out != image).any(2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert abs(np.ptp(columns) + 1 - 0.9 * 224) <= 2
    assert abs((rows[0] + rows[-1]) / 2 - 112) <= 2
    assert abs(np.ptp(rows) + 1 - 0.9 * 224 * 7 / 65) <= 2
    strongest = out[out[:, :, 0].argmax() // 224, out[:, :, 0].argmax() % 224]
    assert rounds(strongest, np.array([0.5 * 100 + 0.5 * 255, 50, 50]))


def test_each_dot_of_the_word_is_a_whole_number_of_px_where_it_fits():
    # 65 dots of 4 px, the letters exactly as drawn
    out = written_word(grey(260, 260, 0), draws=DRAWS, alpha=1, span=1)
    dots = written("WATERMARKED").repeat(4, 0).repeat(4, 1)
    top = (260 - 28) // 2
    assert (out[top : top + 28, :, 0] == dots * 255).all()
    assert out.sum() == dots.sum() * 255


def test_other_words_fit_within_the_central_square():
    for word in ("I", "zx 7", "W" * 24):
        out = written_word(grey(60, 90, 0), draws=DRAWS, word=word)
        columns = np.flatnonzero(out.any((0, 2)))
        assert 15 <= columns[0] <= columns[-1] < 75
        assert out.any()
    image = noisy()
    assert (written_word(image, draws=DRAWS, alpha=0) == image).all()
    assert (written_word(image, draws=DRAWS, word="tea") == written_word(image, draws=DRAWS, word="TEA")).all()
