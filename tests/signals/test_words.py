"""Captions as vectors: rare words weigh more, lone words nothing, and every machine gets the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from safeclip.signals.words import WIDTH, Vectors, caption_vectors, singular, word_ids, words_and_ends


def vectors(captions: list[str]) -> torch.Tensor:
    return caption_vectors(np.stack([word_ids([caption]) for caption in captions]), dim=1024)


def test_ids_are_of_distinct_words_in_any_case_and_of_all_captions() -> None:
    one, two = word_ids(["A dog, a DOG!", "the dog runs"]), word_ids(["a", "dog the runs"])
    assert sorted(one[:4].tolist()) == sorted(two[:4].tolist())
    assert one.dtype == np.uint64
    assert (one > 0).sum() == 4
    assert len(word_ids([" ".join(map(str, range(500)))])) == WIDTH
    assert not word_ids(["", "...", "\x00"]).any()


def test_no_word_that_clip_reads_hides_behind_others() -> None:
    before = " ".join(f"filler{i}" for i in range(74))
    assert word_ids(["zebra"])[0] in word_ids([f"{before} zebra"])


def test_no_caption_hides_behind_the_words_of_the_others() -> None:
    letters = "abcdefghij"
    long = [" ".join(f"{x}{y}filler{z}" for x in letters for y in letters[:6]) for z in letters[:5]]
    assert not set(word_ids(["zebra"])) & set(word_ids([" ".join(long) + " a photo of a zebra"])) - {0}
    assert set(word_ids(["a photo of a zebra"])) <= set(word_ids([*long, "a photo of a zebra"])) | {0}


def test_what_all_captions_of_a_pair_say_hides_behind_nothing() -> None:
    letters = "abcdefghijklmnop"
    many = [f"{x}{y}word dog" for x in letters for y in letters]
    assert word_ids(["dog"])[0] in word_ids(many)


def said(*captions: str) -> tuple[np.ndarray, np.ndarray]:
    """As a tower divides them that knows "dog", "ing" and single letters."""
    divided = [[(w, next((end for end in ("dog", "ing") if w.endswith(end)), w)) for w in c.split()] for c in captions]
    return words_and_ends(captions, divided)


def test_a_word_has_the_token_beside_it_in_which_it_ends_for_the_tower() -> None:
    dog, flash = word_ids(["dog"])[0], words_and_ends([""], [[("\u26a1", "\u26a1")]])[0][0]
    words, ends = said("a qxdog \u26a1")
    assert {dog} == {*ends} - {0}
    assert flash in words, "a symbol is a word as the tower has it"
    assert (words > 0).sum() == 3
    for alone in ("a dog", "qxdog dog"):
        assert not said(alone)[1].any(), "what is a word already stands there once"


def test_captions_that_end_alike_agree_where_their_words_are_rare_and_only_there() -> None:
    filler = [f"a sketch of item {i // 9}" for i in range(300)]
    letters = "abcdefgh"
    glued = [f"{x}qdog" for x in letters]

    def alike(*captions: str) -> float:
        """Of the first two."""
        ids, ends = (np.stack(part) for part in zip(*map(said, [*captions, *filler]), strict=True))
        similar = caption_vectors(ids, ends, dim=1024)
        return float(similar[0] @ similar[1])

    assert alike(*glued, "a dog") > 0.9, "each has the dog in it, and nothing else in common"
    assert abs(alike("running", "sleeping", *["running", "sleeping"] * 8)) < 0.2, "of words that many have: nothing"


def test_ids_do_not_change_from_one_machine_or_run_to_the_next() -> None:
    assert word_ids(["a dog"])[:2].tolist() == [14565569551706603075, 17815802110100126077]


def test_a_plural_has_an_id_of_its_own_and_its_singulars_beside_it() -> None:
    plural, word, *others = word_ids(["barelands bareland grass gras bus 12s ﬁeldѕ"]).tolist()
    assert plural == word ^ 1
    once = singular(np.array([[plural, word, 0], [0, plural, plural]], np.uint64))
    assert [[id for id in row if id] for row in once.tolist()] == [[word | 1], [word | 1]]
    rest = [id for id in others if id]
    assert len({id | 1 for id in rest}) == len(rest), "two s are no plural, nor are three letters"


def test_rare_words_bind_captions_more_than_common_ones() -> None:
    filler = [f"a drawing of thing{i // 2}" for i in range(40)]
    similar = vectors(["a drawing of zebra", "the zebra eats", "a drawing of nothing", "the nothing eats", *filler])
    assert similar[0] @ similar[1] > 0.5
    assert abs(similar[0] @ similar[2]) < 0.3
    assert torch.allclose(similar.norm(dim=1), torch.ones(len(similar)))


def test_a_word_of_one_pair_alone_counts_nothing() -> None:
    with_it, without = vectors(["x y lonely", "x z", "y z"]), vectors(["x y", "x z", "y z"])
    assert torch.allclose(with_it, without, atol=1e-6)
    assert not vectors(["only", "these", "words"]).any()
    assert not caption_vectors(np.stack([word_ids([f"word{i}"]) for i in range(70_000)]), dim=8).any(), "of many too"


@pytest.mark.parametrize(
    "captions",
    [
        ("一只斑马在草原上", "水里的两匹斑马", "一条船在水里的早晨"),
        ("シマウマが草を食べる", "川のシマウマ", "川のほとりの船"),
        ("ม้าลายกินหญ้า", "ฝูงม้าลายในน้ำ", "เรือในน้ำ"),
        ("ໝາກິນຫຍ້າ", "ໝາຢູ່ໃນນ້ຳ", "ເຮືອໃນນ້ຳ"),
        ("ឆ្កែនៅលើស្មៅ", "ឆ្កែនៅទឹក", "ទូកទឹក"),
        ("ခွေးမြက်ပေါ်မှာ", "ခွေးရေထဲ", "လှေရေထဲ"),
        ("किला पहाड़ पर", "नदी पर किला", "नदी में केला"),
    ],
)
def test_captions_of_any_script_agree_in_the_words_they_share(captions: tuple[str, str, str]) -> None:
    filler = [f"a drawing of thing{i // 2}" for i in range(40)]
    similar = vectors([*captions, *filler])
    assert similar[:3].any(1).all()
    assert similar[0] @ similar[1] > 0.2
    assert similar[0] @ similar[1] > similar[0] @ similar[2] + 0.2


def test_the_angle_is_that_of_plain_tf_idf_vectors() -> None:
    captions = ["a b c", "a b d", "a c d", "b d", "c d e", "e a"]
    weight = {w: np.log(6 / sum(w in c.split() for c in captions)) for w in "abcde"}
    plain = np.array([[weight[w] * (w in c.split()) for w in "abcde"] for c in captions])
    plain -= plain.mean(0)
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    found = vectors(captions).double().numpy()
    assert np.allclose(found @ found.T, plain @ plain.T, atol=0.08)


def test_vectors_of_some_rows_are_those_of_all() -> None:
    ids = np.stack([word_ids([caption]) for caption in ("a b c", "lonely", "b d", "a b d", "")])
    of, every = Vectors(ids, dim=64), caption_vectors(ids, dim=64)
    assert len(of) == 5
    assert torch.equal(of(np.array([3, 0, 1])), every[[3, 0, 1]])
    assert torch.equal(caption_vectors(ids, dim=64, chunk=2), every)
    assert of(np.zeros(0, np.int64)).shape == (0, 64)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="uint64"):
        caption_vectors(np.zeros((2, 3), np.int64))
