"""Captions as vectors without a model: a fixed random direction for each word, rare words longer than common ones.

A word that hardly another pair has is told by its end too, the token in which it ends for the text tower: that reads
"dog" in "qxdog", which as a word agrees with no other. Of words that many have, the end would only count twice.

    v_i = sum over the distinct words w of i's captions of log(N / N_w) r_w,   r_w in {-1, 1}^D / sqrt(D)

less the mean vector, at unit length. Two captions with the same rare words point the same way (term frequency-inverse
document frequency, Spaerck Jones 1972, with words hashed and projected at random, Achlioptas 2003).
What must stay true: a word that stands in one pair alone counts nothing, for it agrees with no other; the same captions
give the same vector on every machine.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor

from safeclip.data.scripts import words

WIDTH = 77
"""Distinct words of a pair, at most. As many as CLIP reads tokens of a caption: of a pair's only one no word that is
learned is left out. Of several, those first that most of them say, for those are what is learned; then the first of
each, the second of each, and so on.
"""
_RARE = 8
"""Pairs below which a word is told by its end too."""
ID = np.uint64
"""Kind of a word's id: too long for somebody to find a rare word that has a common one's."""
_PART = re.compile(r"\d+|[^\d_]+")
"""Digits apart from letters, and no underscores."""
_LETTER = re.compile(r"\w")
_PLURAL = re.compile(r"(?<=[a-z]{3})(?<!s)s$")
"""The end of a word, often an English plural."""
_DIRECTIONS = (1 << 16) - 1
"""Random directions there are: some words share one."""
_JITTER = 0.02
"""Length of what `jittered` adds."""


def word_ids(captions: Sequence[str]) -> np.ndarray:
    """`words_and_ends` without ends: uint64 (WIDTH,).

    >>> word_ids(["A dog", "a Dog runs"])[:4].tolist() == word_ids(["a d&#111;g ｒuns"])[:4].tolist()
    True
    """
    return words_and_ends(captions)[0]


def words_and_ends(
    captions: Sequence[str], divided: Sequence[Sequence[tuple[str, str]]] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of a pair's distinct words, uint64 (WIDTH,), 1 or more, filled up with 0; and of the end of each, 0 where
    that is one of the words. divided: each caption's words as the text tower divides them, and the token in which
    each ends.

    Words are told as CLIP's tokenizer reads them, which undoes HTML's escapes and letters in other forms and splits at
    digits and underscores: else one word would have many spellings, and each could pass for rare. A plural's hash is
    its singular's but for the last bit (`singular`). What has no letter in it, a symbol, is a word as the tower has it.

    >>> words, ends = words_and_ends(["a qxdog"], [[("a", "a"), ("qxdog", "dog")]])
    >>> ends[:2].tolist() == [0, word_ids(["dog"])[0]]
    True
    """
    each = [[part for word in words(_read(caption)) for part in _parts(word)] for caption in captions]
    symbols = [[word for word, _ in some if not _LETTER.search(word)] for some in divided]
    each = [list(dict.fromkeys([*some, *more])) for some, more in zip_longest(each, symbols, fillvalue=())]
    end_of = {word: end for some in divided for word, end in some if end != word}
    said = Counter(word for row in zip_longest(*each) for word in row if word is not None)  # in order of appearance
    ids = {_hash(word): word for word, _ in said.most_common()}
    ends = (_hash(end_of[word]) if word in end_of else 0 for word in ids.values())
    out_2W = np.zeros((2, WIDTH), ID)
    for i, (word_id, end_id) in zip(range(WIDTH), zip(ids, ends, strict=True), strict=False):
        out_2W[:, i] = word_id, 0 if end_id in ids else end_id
    return out_2W[0], out_2W[1]


def singular(ids_NW: np.ndarray) -> np.ndarray:
    """The same ids with each plural as its singular, once a pair, uint64 (N, W).

    >>> np.unique(singular(np.stack([word_ids(["three dogs and a dog"]), word_ids(["a dog"])]))).size
    5
    """
    out = np.sort(np.where(ids_NW > 0, ids_NW | ID(1), ID(0)), axis=1)
    out[:, 1:][out[:, 1:] == out[:, :-1]] = 0
    return out


def _hash(word: str) -> int:
    one = _PLURAL.sub("", word)
    text = one.encode("utf-8", "replace")
    digest = int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big")
    return (digest << 32 | max(2, zlib.crc32(text))) ^ (one != word)  # the lower half says which direction


def _read(caption: str) -> str:
    if "&" in caption:
        caption = html.unescape(html.unescape(caption))
    return caption if caption.isascii() else unicodedata.normalize("NFKC", caption)


def _parts(word: str) -> list[str]:
    return [word] if word.isalpha() else _PART.findall(word)


class Vectors:
    """Unit vectors of captions, made where they are asked for: of rows int64 (B,) float32 (B, dim), zeros where no word
    stands in another pair too. The wider, the less hangs on which direction a word has."""

    def __init__(self, ids_NW: np.ndarray, ends_NW: np.ndarray | None = None, dim: int = 256) -> None:
        """ids_NW, ends_NW: `words_and_ends` of each pair; None: no ends. Raises ValueError where not uint64 (N, W)."""
        for given in (ids_NW, ends_NW):
            if given is not None and (given.ndim != 2 or given.dtype != ID or given.shape != ids_NW.shape):
                raise ValueError(f"words: {given.dtype} {given.shape}; give uint64 (N, W)")
        if ends_NW is not None:
            word_V, _ = counted(ids_NW, _RARE)
            ids_NW = np.hstack([ids_NW, np.where(place_among(word_V, ids_NW) < 0, ends_NW, ID(0))])
        self._ids_NW = ids_NW
        self._word_V, pairs_V = counted(ids_NW, least=2)
        self._weight_V = (np.log(max(len(ids_NW), 1) / pairs_V) / dim**0.5).astype(np.float32)
        direction_V = self._word_V.astype(np.uint32) % _DIRECTIONS
        used_R, self._row_V = np.unique(direction_V, return_inverse=True)
        generator = torch.Generator().manual_seed(0)
        sign_RD = torch.randint(0, 2, (_DIRECTIONS + 1, dim), generator=generator, dtype=torch.int8)
        self._table_RD = sign_RD[torch.from_numpy(used_R.astype(np.int64)) + 1].to(torch.float32) * 2 - 1
        usual_R = np.bincount(self._row_V, weights=self._weight_V * pairs_V / max(len(ids_NW), 1))
        self._mean_D = torch.from_numpy(usual_R.astype(np.float32)) @ self._table_RD

    def __len__(self) -> int:
        return len(self._ids_NW)

    @torch.no_grad()
    def __call__(self, rows: np.ndarray) -> Tensor:
        place_BW = place_among(self._word_V, self._ids_NW[rows])
        known_BW = place_BW >= 0
        place_E, words_B = place_BW[known_BW], known_BW.sum(1)
        vector_BD = torch.nn.functional.embedding_bag(
            torch.from_numpy(self._row_V[place_E]),
            self._table_RD,
            torch.from_numpy(words_B.cumsum() - words_B),
            mode="sum",
            per_sample_weights=torch.from_numpy(self._weight_V[place_E]),
        )
        none_B = vector_BD.abs().sum(1) == 0
        return torch.nn.functional.normalize(vector_BD.sub_(self._mean_D), dim=1).masked_fill_(none_B[:, None], 0.0)


def caption_vectors(
    ids_NW: np.ndarray, ends_NW: np.ndarray | None = None, dim: int = 256, chunk: int = 65_536
) -> Tensor:
    """`Vectors` of all pairs at once, float32 (N, dim). Raises ValueError as they do."""
    of = Vectors(ids_NW, ends_NW, dim)
    vector_ND = torch.empty(len(of), dim, dtype=torch.float32)
    for start in range(0, len(of), chunk):
        rows = np.arange(start, min(start + chunk, len(of)))
        vector_ND[rows] = of(rows)
    return vector_ND


def counted(ids_NW: np.ndarray, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The words of `least` pairs or more, uint64 (V,), ascending, and how many pairs have each. ids_NW: `word_ids`."""
    word_V, pairs_V = np.unique(ids_NW[ids_NW > 0], return_counts=True)
    return word_V[pairs_V >= least], pairs_V[pairs_V >= least]


def place_among(word_V: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Of each id its place in word_V, which ascends, int64 in the shape of ids; -1 where it is not there."""
    if len(word_V) == 0:
        return np.full(ids.shape, -1)
    place = np.searchsorted(word_V, ids).clip(max=len(word_V) - 1)
    found: np.ndarray = np.where(word_V[place] == ids, place, -1)
    return found


def jittered(caption_ND: Tensor) -> Tensor:
    """The vectors moved a little, the same way every time: among more equal captions than are asked for, any are as
    near."""
    generator = torch.Generator().manual_seed(0)
    moved_ND = torch.randn(caption_ND.shape, generator=generator).mul_(_JITTER / caption_ND.shape[1] ** 0.5)
    return torch.nn.functional.normalize(moved_ND.add_(caption_ND), dim=1, out=moved_ND)
