r"""Which captions name a class: a match on whole words, over the data's own captions.

    "two Cats, asleep" names "cat"        "a caterpillar" does not        "a hot-dog" names "hot dog" and "dog"

Whole words, upper and lower case alike, the last word in singular or plural; in scripts without spaces (`scripts`)
wherever the characters stand side by side: "一只斑马" names "斑马". One pass over a caption finds every class it names,
whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from safeclip.config import DataConfig
from safeclip.data import scripts
from safeclip.data.pairs import BadPair, Source

_BREAK = ""
"""Between two runs of a script without spaces: no name goes across."""


class Mentions:
    """Finds the class names in a caption."""

    def __init__(self, class_names: Sequence[str]):
        self._by_first: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for index, name in enumerate(class_names):
            own = _matched(name)
            for last in forms(own[-1]) if own else ():
                phrase = (*own[:-1], last)
                self._by_first.setdefault(phrase[0], []).append((phrase, index))

    def __call__(self, caption: str) -> set[int]:
        """Indices of the class names that the caption holds."""
        said, found = _matched(caption), set()
        for start, word in enumerate(said):
            for phrase, index in self._by_first.get(word, ()):
                if tuple(said[start : start + len(phrase)]) == phrase:
                    found.add(index)
        return found

    def any_of(self, captions: Iterable[str]) -> set[int]:
        return set().union(*(self(caption) for caption in captions))


def corpus(source: Source) -> Iterator[tuple[int, tuple[str, ...]]]:
    """uid and usable captions of every pair that has any. Long captions are cut as the reader cuts them by default."""
    longest = DataConfig().max_caption_chars
    for uid in range(len(source)):
        try:
            captions = tuple(c[:longest] for c in source.captions(uid) if c and not c.isspace())
        except BadPair:
            continue  # the reader counts it; an attack has no use for it
        if captions:
            yield uid, captions


def naming(source: Source, names: Sequence[str]) -> list[list[tuple[int, str]]]:
    """For each class, uid and text of the captions that name it, in the order of the data."""
    mentions = Mentions(names)
    found: list[list[tuple[int, str]]] = [[] for _ in names]
    for uid, captions in corpus(source):
        for caption in captions:
            for label in mentions(caption):
                found[label].append((uid, caption))
    return found


def words(text: str) -> list[str]:
    """Lower-case words of letters and digits, in order; of scripts without spaces as `scripts.words` has them.

    >>> words("a T-shirt, RED")
    ['a', 't', 'shirt', 'red']
    """
    return scripts.words(text.replace("_", " "))


def forms(word: str) -> set[str]:
    """The word, and what its plural may be."""
    found = {word, word + "s", word + "es"}
    if word.endswith("y"):
        found.add(word[:-1] + "ies")
    return found


def _matched(text: str) -> list[str]:
    """What names are compared by: words; of scripts without spaces, characters."""
    runs = scripts.runs(text.replace("_", " "))
    if text.isascii() or not scripts.unspaced(text):
        return runs
    out: list[str] = []
    before = False
    for run in runs:
        within = scripts.unspaced(run)
        out += [_BREAK] * (before and within)
        out += scripts.characters(run) if within else [run]
        before = within
    return out
