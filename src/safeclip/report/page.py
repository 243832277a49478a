"""RUN/report.html or DEMO/report.html: one file that opens offline, made from what lies in the directory.

What must stay true: everything is escaped (autoescape, and `words.plain` on every value), nothing is fetched (a content
security policy forbids it, scripts too), and a part that cannot be made leaves a line that says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from safeclip.attacks.manifest import Planted
from safeclip.errors import InputError
from safeclip.report import figures, pictures, splits, story, tables, training
from safeclip.report.facts import AttackResult, Facts, Run, read
from safeclip.report.words import LONG, PAPERS, attack_name, count, duration, listed, percent, plain, sentence
from safeclip.run import write_text

_SHOWN = 48
"""Target pictures shown at most."""
_PAIRS = 6
"""Triggered pictures shown at most, for each backdoor."""


def write_report(path: str | os.PathLike[str]) -> Path:
    """Write report.html into a run directory, or into a demo directory that holds several runs, and return its path.

    Raises:
        InputError: the folder holds neither.
    """
    page = Path(path) / "report.html"
    write_text(page, render(read(Path(path))))
    return page


def render(facts: Facts) -> str:
    """The page's HTML."""
    notes = list(facts.notes)

    def part(name: str, make: Callable[[Facts], Any], otherwise: Any) -> Any:
        try:
            return make(facts)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, InputError) as error:
            notes.append(f"{name}: left out, the files hold values of another form ({type(error).__name__}: {error}).")
            return otherwise

    targeted = part("target pictures", _targeted, [])
    context = {
        "headline": part("headline", story.headline, [("", "A run of safeclip")]),
        "opening": part("opening", story.opening, []),
        "warnings": part("warnings", story.warnings, []),
        "pairs": part("pairs", story.pairs_line, {}),
        "targeted": targeted,
        "shown": next((block for block in targeted if block["telling"]), None),
        "backdoors": part("triggered pictures", _backdoors, []),
        "captioned": part("swaps and text triggers", _captioned, []),
        "rows": part("table", tables.results, []),
        "success": part("success rates", figures.success, ""),
        "splits": part("split", splits.sections, []),
        "losses": part("losses", training.losses, []),
        "told": part("training", training.told, []),
        "noted": part("log notes", training.notes, []),
        "settings": part("settings", tables.settings, []),
        "machine": part("machine", tables.machine_rows, []),
        "runs": [{"name": run.name, "method": run.method} for run in facts.runs],
        "together": listed([run.name for run in facts.runs]),
        "small": part("data", lambda f: any(str(r.config["data"]["spec"]).startswith("emoji:") for r in f.runs), False),
        "baseline": facts.baseline is not None,
        "demo": facts.demo,
        "same": facts.same,
        "papers": [text for method, text in PAPERS.items() if any(run.method == method for run in facts.runs)],
        "seeds": part("seeds", lambda f: sorted({count(run.config.get("seed")) for run in f.runs}), []),
        "notes": notes,
    }
    return environment().get_template("template.html").render(context)


def environment(package: str = "safeclip.report", template: str = "template.html") -> jinja2.Environment:
    """The package's template, as `template.html`, and this one's style; every value that is no markup of ours goes
    through `plain`, then is escaped."""
    here = resources.files("safeclip.report")
    text = (resources.files(package) / template).read_text("utf-8")
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({"template.html": text}),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else plain(value, LONG),
    )
    environment.globals["style"] = Markup((here / "style.css").read_text("utf-8"))
    environment.globals["picture"] = lambda uri: Markup(uri)  # data URIs that pictures.py made: base64 alone
    environment.filters |= {"percent": percent, "count": count, "duration": duration, "sentence": sentence}
    return environment


def _by_attack(facts: Facts, kind: str) -> list[tuple[str, list[tuple[Run, AttackResult]]]]:
    every = [
        (name, [(run, a) for run in facts.runs for a in run.attacks if a.name == name])
        for name in story.attack_names(facts)
    ]
    return [(name, rows) for name, rows in every if rows and rows[0][1].kind == kind]


def _targeted(facts: Facts) -> list[dict[str, Any]]:
    """A block a targeted attack: its target pictures, and what each model calls them."""
    blocks = []
    for name, rows in _by_attack(facts, "targeted"):
        manifest = facts.shown_of(name)
        shown = {} if manifest is None else pictures.targets(manifest, name)
        cards = _cards(rows)
        for card in cards:
            card["picture"] = shown.get(card["index"])
        telling = _telling(facts, rows, cards)
        planted = [] if manifest is None else manifest.planted_by(name)
        blocks.append(
            {
                "title": attack_name(name),
                "cards": cards[:_SHOWN],
                "left_out": max(0, len(cards) - _SHOWN),
                "n": rows[0][1].n,
                "each": _each(len(planted) or rows[0][1].planted, rows[0][1].n),
                "telling": telling,
                "captions": _captions(telling or cards[0], planted) if cards else [],
                "sample": telling or cards[0] if cards else None,
                "results": [{"name": run.name, "k": a.k, "n": a.n} for run, a in rows],
            }
        )
    return blocks


def _backdoors(facts: Facts) -> list[dict[str, Any]]:
    """A block a backdoor: clean and triggered pictures, and what each model calls the triggered ones."""
    blocks = []
    for name, rows in _by_attack(facts, "backdoor"):
        source = pictures.Triggered(rows[0][0], facts.shown_of(name), name)
        cards = _cards(rows)[:_PAIRS]
        examples = {e.get("index"): e for _, a in reversed(rows) for e in a.examples}
        for card in cards:
            card["clean"], card["picture"] = source.pair(examples[card["index"]].get("index"))
        blocks.append(
            {
                "title": attack_name(name),
                "cards": cards,
                "planted": rows[0][1].planted,
                "target": plain(rows[0][1].target_class or "the attacker's class", 60),
                "results": [{"name": run.name, "asr": a.asr, "n": a.n, "base_rate": a.base_rate} for run, a in rows],
            }
        )
    return blocks


def _captioned(facts: Facts) -> list[dict[str, Any]]:
    """A block a class swap or text trigger: captions as they were planted, and how each model took them."""
    blocks = []
    for kind in ("swap", "text"):
        for name, rows in _by_attack(facts, kind):
            first, manifest = rows[0][1], facts.shown_of(name)
            planted = [] if manifest is None else manifest.planted_by(name)
            trigger = {} if manifest is None else manifest.attack(name).get("text_trigger") or {}
            blocks.append(
                {
                    "title": attack_name(name),
                    "kind": kind,
                    "planted": first.planted,
                    "swapped": plain(first.from_class or "one class", 60),
                    "target": plain(first.target_class or "the attacker's class", 60),
                    "trigger": plain(trigger["text"], 60) if "text" in trigger else None,
                    "captions": [plain(row.caption, 90) for row in planted if row.caption][:3],
                    "results": [{"name": run.name, "k": a.k, "n": a.n, "base_rate": a.base_rate} for run, a in rows],
                }
            )
    return blocks


def _cards(rows: list[tuple[Run, AttackResult]]) -> list[dict[str, Any]]:
    """One an example: true name, attacker's class, and each model's answer with how it stands to them."""
    cards: dict[Any, dict[str, Any]] = {}
    for run, attack in rows:
        for e in attack.examples:
            index = e.get("index")
            about = {"index": index, "true": plain(e.get("true", ""), 60), "target": plain(e.get("target", ""), 60)}
            card = cards.setdefault(index, about | {"calls": []})
            state = "hit" if e.get("hit") is True else "right" if e.get("called") == e.get("true") else "other"
            card["calls"].append({"model": run.name, "called": plain(e.get("called", ""), 60), "state": state})
    return list(cards.values())


def _each(planted: int | None, n: int) -> int | None:
    """Planted pairs for each target, where all have as many."""
    return planted // n if planted and n and planted % n == 0 else None


def _telling(facts: Facts, rows: list[tuple[Run, AttackResult]], cards: list[dict[str, Any]]) -> dict[str, Any] | None:
    """One target for the top of the page, to show the result at a glance: it fooled plain CLIP and not the defended
    models. None where the attack did not take or a defence did not hold: one picture would then say too much.
    """
    if facts.baseline is None or not story.took(rows[0][1]) or not all(story.held(a) for _, a in rows[1:]):
        return None
    states = [[call["state"] for call in card["calls"]] for card in cards]
    for wanted in ("right", "other"):
        for card, (first, *others) in zip(cards, states, strict=True):
            if card["picture"] and first == "hit" and others and set(others) == {wanted}:
                return card
    return None


def _captions(card: dict[str, Any], planted: list[Planted]) -> list[str]:
    """Captions that the card's picture was planted with, three at most."""
    return [plain(row.caption, 90) for row in planted if row.target_index == card["index"] and row.caption][:3]
