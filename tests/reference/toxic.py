"""attacks/toxic.py's liking, word by word as its docstring has it, by plain counting."""

from __future__ import annotations

import math
import re


def words(text, class_names):
    left_out = set()
    for name in class_names:
        for word in re.findall(r"[a-z0-9]+", name.lower()):
            left_out |= {word, word + "s", word + "es"} | ({word[:-1] + "ies"} if word.endswith("y") else set())
    return {word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in left_out}


def idf(word, captions, class_names):
    count = sum(word in words(caption, class_names) for caption in captions)
    return math.log(len(captions) / count) if count else None


def liking(caption, own, of_true_class, captions, class_names):
    """captions: every training caption; of_true_class: those of the target's true class; own: the target's own."""
    total, length = 0.0, 0.0
    for word in words(caption, class_names):
        weight = idf(word, captions, class_names)
        if weight is None:
            continue
        share = sum(word in words(text, class_names) for text in of_true_class) / len(of_true_class)
        told = any(word in words(text, class_names) for text in own)
        total += weight * weight * (share + told)
        length += weight * weight
    return total / math.sqrt(length) if length else 0.0
