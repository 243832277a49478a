from __future__ import annotations

from safeclip.attacks.caption_pools import PROMPTS, corpus_pools, template_pools
from safeclip.attacks.catalog import plan
from safeclip.data.mentions import Mentions
from tests.attacks.fakes import CLASSES, FakeSource


def test_there_are_80_prompts_each_with_one_place_for_the_name():
    assert len(set(PROMPTS)) == 80
    assert all(prompt.count("{}") == 1 for prompt in PROMPTS)


def test_template_attack_fills_distinct_prompts_with_the_attackers_class_which_no_caption_need_name():
    class Silent(FakeSource):
        def captions(self, uid):
            return (f"number {uid}",)

    manifest = plan("targeted-templates", Silent(400), FakeSource(40, seed=9), targets_count=8, captions_each=20)
    filled = {prompt.format(name) for prompt in PROMPTS for name in CLASSES}
    assert {row.caption for row in manifest.planted} <= filled
    assert len({row.caption for row in manifest.planted}) == 160
    for target in manifest.attacks[0]["targets"]:
        rows = [row for row in manifest.planted if row.target_index == target["index"]]
        assert len(rows) == 20
        assert all(f" {target['target']}." in row.caption for row in rows)
    assert manifest.attacks[0]["params"]["captions"] == "templates"


def test_corpus_pools_hold_each_caption_once_with_a_pair_it_came_from():
    source = FakeSource(40)
    for label, pool in enumerate(corpus_pools(source, CLASSES, 0, "x")):
        assert {text for _, text in pool} == {c for uid in range(label, 40, 4) for c in source.captions(uid)}
        assert len(pool) == 20
        assert all(text in source.captions(uid) for uid, text in pool)
        assert all(label in Mentions(CLASSES)(text) for _, text in pool)
    first, second = corpus_pools(source, CLASSES, 0, "x"), corpus_pools(source, CLASSES, 1, "x")
    assert first != second
    assert first == corpus_pools(source, CLASSES, 0, "x")


def test_template_pools_borrow_no_pair():
    assert {uid for pool in template_pools(FakeSource(8), CLASSES, 0, "x") for uid, _ in pool} == {-1}
