"""What the page says in words: headline, opening, warnings. Every sentence is made from the numbers.

What must stay true: no sentence claims more than its numbers. Where plain CLIP did not take an attack, the page says
that the comparison proves nothing; where a defence let the attack through, the page says that.
"""

from __future__ import annotations

from typing import Any

from safeclip.report.facts import AttackResult, Facts, Run
from safeclip.report.verdict import verdict
from safeclip.report.words import KINDS, attack_name, count, listed, number, percent, plain, sentence


def headline(facts: Facts) -> list[tuple[str, str]]:
    """The result, a sentence a model: (tone, sentence).

    Tone: `attack` for a model that the attack reached, `held` for a defended one that held, else empty.
    """
    main = _main_attack(facts)
    if main is None:
        run = facts.runs[0]
        top1, found = run.metric("zero_shot").get("top1"), run.metric("retrieval")
        if number(top1) is None and number(found.get("mean_r5")) is not None:
            among = f"among the first five for {percent(found['mean_r5'])} of {count(found.get('n_images'))} pictures"
            return [("", f"{sentence(run.name)}: picture and caption find each other {among}. No classes.")]
        if number(top1) is None:
            return [("", f"{sentence(run.name)}: trained for {_epochs(run)} epochs, not evaluated yet.")]
        classes = count(run.metric("zero_shot").get("classes"))
        return [("", f"{sentence(run.name)}: {percent(top1)} zero-shot top-1 over {classes} classes.")]
    rows = [(run, attack) for run in facts.runs if (attack := _of(run, main)) is not None]
    (first, attack), rest = rows[0], rows[1:]
    if attack.kind == "targeted":
        text = f"{_k(attack)} of {count(attack.n)} attacked pictures fooled {first.name}."
        tail = [f"{sentence(run.name)}: {a.k} of {count(a.n)}." for run, a in rest]
    else:
        share, wanted = percent(attack.asr), _as(attack)
        text = {
            "backdoor": f"A planted trigger fooled {first.name} on {share} of pictures.",
            "swap": f"Swapped captions made {first.name} call {share} of {_whose(attack)} {wanted}.",
            "text": f"A planted text led {first.name} from {share} of captions to pictures of {wanted}.",
        }[attack.kind]
        tail = [f"{sentence(run.name)}: {percent(a.asr)}." for run, a in rest]
    tones = ["attack" if not held(a) else "held" if i and took(attack) else "" for i, (_, a) in enumerate(rows)]
    return list(zip(tones, [text, *tail], strict=True))


def opening(facts: Facts) -> list[str]:
    """Sentences under the headline: the other attacks, and what the defence cost."""
    out = []
    main = _main_attack(facts)
    for name in attack_names(facts):
        rows = [(run, attack) for run in facts.runs if (attack := _of(run, name)) is not None]
        if name == main or not rows:
            continue
        (first, attack), *rest = rows
        calls = [f"{first.name} calls {percent(attack.asr)} of {_whose(attack)} {_as(attack)}"]
        if attack.kind == "text":
            calls = [f"{first.name} finds a picture of {_as(attack)} first for {percent(attack.asr)} of captions"]
        calls += [f"{run.name} {percent(a.asr)}" for run, a in rest]
        how = {"backdoor": f"With the {attack_name(name)} on them", "text": f"With the {attack_name(name)} in them"}
        out.append(f"{how.get(attack.kind, f'Under {attack_name(name)}')}, {listed(calls)}.")
    return out + _price(facts)


def warnings(facts: Facts) -> list[str]:
    """What a reader must know before believing the headline."""
    out = []
    base = facts.baseline
    if not facts.same:
        names = listed([run.name for run in facts.runs if run.method != "cleanclip"])
        out.append(
            f"{sentence(names)} were not trained on the same data with the same planted pairs: what stands side by "
            "side here cannot be compared."
        )
    asked = {it for run in facts.runs if (it := _asked(run)) is not None}
    if len(asked) > 1 or len({run.measured_by for run in facts.runs} - {None}) > 1:
        out.append(
            "The models were evaluated on different pictures or by different prompts: their accuracies and success "
            "rates cannot be compared."
        )
    for name in attack_names(facts):
        attack = _of(base, name) if base is not None else None
        if base is not None and attack is not None and not took(attack):
            clean = "" if attack.base_rate is None else f", base rate {percent(attack.base_rate)}"
            out.append(
                f"{attack_name(name)} did not plant: {base.name} gives the attacker's answer for {count(attack.k)} of "
                f"{count(attack.n)} {_tried(attack)} ({percent(attack.asr)}{clean}). A defence against an attack that "
                "fails anyway shows nothing: this comparison proves nothing."
            )
            continue
        rows = [(run, mine) for run in facts.runs if run is not base and (mine := _of(run, name)) is not None]
        fell = [(run, mine) for run, mine in rows if base is not None and not held(mine)]
        if fell:
            hits = [f"{count(a.k)} of {count(a.n)} {_tried(a)} ({percent(a.asr)})" for _, a in fell]
            out.append(
                f"{sentence(listed([run.name for run, _ in fell]))} did not hold against {attack_name(name)}: "
                f"{listed(hits)} still get the attacker's answer."
            )
    if len({final_epochs(run) for run in facts.runs if run.method != "cleanclip"}) > 1:
        out.append("The models were trained for different numbers of epochs; their accuracies are not comparable.")
    for run in facts.runs:
        out += _of_evaluation(run)
        if run.log and not run.events("end"):
            done = len(run.events("epoch"))
            out.append(f"{sentence(run.name)} has not finished training: {done} of {_epochs(run)} epochs are done.")
    return out


def _asked(run: Run) -> str | None:
    """What a run was evaluated on and with; None where it was not."""
    about = run.metrics.get("data")
    if not isinstance(about, dict):
        return None
    return repr([about.get(name) for name in ("spec", "split", "pairs", "classes", "limit", "templates")])


def _of_evaluation(run: Run) -> list[str]:
    """What of a run was not measured, and on what its numbers should not have been."""
    out = []
    bad = number(run.metrics.get("bad"))
    if run.metric("data").get("seen_in_training") is True:
        out.append(
            f"{sentence(run.name)} was evaluated on pairs that it was trained on: its numbers are not of new ones."
        )
    if bad:
        out.append(f"{count(bad)} of the pairs that {run.name} was to be evaluated on cannot be read and are left out.")
    entries = run.metrics.get("attack")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("asr") is None and entry.get("why"):
            out.append(
                f"{attack_name(str(entry.get('name')))} was not measured on {run.name}: {plain(entry['why'], 300)}"
            )
    return out


def took(attack: AttackResult) -> bool:
    """The attack works well above chance."""
    return verdict(attack.asr, attack.n, attack.base_rate, attack.kind) == "through"


def held(attack: AttackResult) -> bool:
    """The success rate is about the base rate."""
    return verdict(attack.asr, attack.n, attack.base_rate, attack.kind) == "held"


def final_epochs(run: Run) -> float | None:
    """Epochs that made the final model: a filter's first ones only look. None where the config does not say."""
    epochs = number(run.config.get("epochs"))
    looked = looking(run)
    return epochs if epochs is None or looked is None else epochs - looked


def looking(run: Run) -> float | None:
    """Epochs of a filter's first model; None for other methods."""
    epochs = number(run.config.get("epochs"))
    if run.method != "filter" or epochs is None:
        return None
    told = number(run.section("filter").get("look_epochs"))
    return max(1, epochs // 2) if told is None else told


def attack_names(facts: Facts) -> list[str]:
    """Attacks in the order in which they are shown: kind by kind, targeted ones first."""
    every = {attack.name: attack.kind for run in facts.runs for attack in run.attacks}
    return sorted(every, key=lambda name: ([*KINDS].index(every[name]), name))


def pairs_line(facts: Facts) -> dict[str, Any]:
    """Training pairs, planted ones among them, and their share; None where it is not known. scratch: every model was
    trained from scratch.

    Without a manifest, the attacks were planted in other pairs than these, as CleanCLIP's are.
    """
    poisoned = [run for run in facts.runs if facts.manifest is not None and run.method != "cleanclip"]
    starts = [line for run in poisoned for line in run.events("start")]
    pairs = number(starts[0].get("pairs")) if starts else None
    totals = {a.name: a.planted for run in facts.runs for a in run.attacks if a.planted is not None}
    planted = len(facts.manifest) if facts.manifest is not None else sum(totals.values()) or None
    share = planted / pairs if planted and pairs else None
    return {
        "pairs": pairs,
        "planted": planted,
        "share": share,
        "own": facts.manifest is not None,
        "scratch": not any(run.section("model").get("weights") for run in facts.runs),
    }


def _price(facts: Facts) -> list[str]:
    """What the defences cost in clean accuracy, a sentence."""
    tops = [(run, number(run.metric("zero_shot").get("top1"))) for run in facts.runs]
    base = next((top for run, top in tops if run is facts.baseline), None)
    defended = [(run, top) for run, top in tops if run is not facts.baseline and top is not None]
    if facts.baseline is None or not base or not defended:
        return []
    (first, top), *rest = defended
    calls = [f"{first.name} gets {percent(top)} right at its first guess", *(f"{r.name} {percent(t)}" for r, t in rest)]
    cost = ": that is what the defence costs" if all(top < base for _, top in defended) else ""
    together = " and ".join([", ".join(calls), f"{facts.baseline.name} {percent(base)}"])
    return [f"On clean test pictures, {together}{cost}."]


def _main_attack(facts: Facts) -> str | None:
    return next(iter(attack_names(facts)), None)


def _of(run: Run | None, name: str) -> AttackResult | None:
    return next((a for a in run.attacks if a.name == name), None) if run is not None else None


def _epochs(run: Run) -> str:
    return count(run.config.get("epochs"))


def _as(attack: AttackResult) -> str:
    """What the attacker wants."""
    return f"“{plain(attack.target_class, 40)}”" if attack.target_class else "what the attacker wants"


def _whose(attack: AttackResult) -> str:
    """What is counted: pictures, those of the class that a swap is about."""
    return f"“{plain(attack.from_class, 40)}” pictures" if attack.kind == "swap" and attack.from_class else "pictures"


def _tried(attack: AttackResult) -> str:
    return KINDS[attack.kind].tried


def _k(attack: AttackResult) -> str:
    return "None" if attack.k == 0 else str(attack.k)
