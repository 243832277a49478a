from __future__ import annotations

import io
import json
import pickle
import zlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from safeclip.attacks import Manifest, Planted, manifest_check, plan, plan_targeted
from safeclip.attacks.manifest import to_png
from safeclip.errors import InputError, RunError
from tests.attacks.fakes import FakeSource

KEY = b"safeclip.manifest"


@pytest.fixture(scope="module")
def both():
    source = FakeSource(200)
    targeted = plan_targeted(source, FakeSource(40, seed=9), targets_count=4, captions_each=5, seed=0)
    return Manifest.combine([targeted, plan("badnets", source, count=9, seed=0, avoid=targeted.uids)])


@pytest.fixture
def saved(both, tmp_path):
    both.save(tmp_path / "m.parquet")
    return tmp_path / "m.parquet"


def read_all(manifest, source):
    return [manifest(uid, source[uid].image, source.captions(uid)) for uid in range(len(source))]


def test_round_trip_bit_for_bit(both, saved, tmp_path):
    loaded = Manifest.load(saved)
    assert loaded == both
    assert (loaded.uids == both.uids).all()
    loaded.save(tmp_path / "again.parquet")
    assert saved.read_bytes() == (tmp_path / "again.parquet").read_bytes()
    for (a, *_), (b, *_) in zip(both.targets(), loaded.targets(), strict=True):
        assert (a == b).all()


def test_planting_is_the_same_in_every_process(both, saved):
    source, copy = FakeSource(200), pickle.loads(pickle.dumps(both))
    for (a, texts), (b, same_texts), (c, _) in zip(
        read_all(both, source), read_all(Manifest.load(saved), source), read_all(copy, source), strict=True
    ):
        assert (a == b).all()
        assert (a == c).all()
        assert texts == same_texts


def test_other_uids_are_untouched_and_pictures_never_changed_in_place(both):
    source, planted = FakeSource(200), set(both.uids.tolist())
    for uid in range(200):
        pair = source[uid]
        before = pair.image.copy()
        image, captions = both(uid, pair.image, pair.captions)
        assert (pair.image == before).all()
        if uid in planted:
            assert captions != pair.captions
        else:
            assert image is pair.image
            assert captions is pair.captions


def test_uids_are_sorted_and_attacks_named(both):
    assert both.uids.dtype == np.int64
    assert (np.diff(both.uids) > 0).all()
    names = both.attack_of(np.arange(200))
    assert (names == "targeted").sum() == 20
    assert (names == "badnets").sum() == 9
    assert (names == "").sum() == 171
    assert both.name_of(int(both.uids[0])) in ("targeted", "badnets")
    assert both.attack_of(np.array([], np.int64)).shape == (0,)


def test_target_pictures_are_stored_once(saved):
    rows = pq.read_table(saved).to_pylist()
    assert sum(row["image"] is not None for row in rows) == 4
    assert sum(row["uid"] == -1 for row in rows) == 4


def test_a_row_with_its_own_picture_shows_it(both):
    own = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    uid = next(u for u in range(200) if u not in set(both.uids.tolist()))
    manifest = Manifest(
        both.source, both.attacks, [*both.planted, Planted(uid, "badnets", image=to_png(own))], both.pictures
    )
    image, captions = manifest(uid, np.zeros((5, 5, 3), np.uint8), ("kept",))
    assert (image == own).all()
    assert captions == ("kept",)


def test_other_data_is_refused(both):
    both.check(FakeSource(200))
    for other in (FakeSource(200, fingerprint="other"), FakeSource(201, fingerprint="f200-0")):
        with pytest.raises(InputError, match=r"does not fit"):
            both.check(other)


def test_the_same_files_in_another_order_are_refused(both):
    class Sorted(FakeSource):
        def captions(self, uid):
            return super().captions(199 - uid)

    with pytest.raises(InputError, match=r"pair \d+ of fake:200 has other captions than when the attack was planned"):
        both.check(Sorted(200))


def test_captions_of_far_shards_are_not_asked(both):
    class Far(FakeSource):
        remote = True

        def captions(self, uid):
            raise AssertionError("each costs a shard")

    both.check(Far(200))


def test_a_digest_is_of_what_is_planted_and_not_of_the_file(both, saved, tmp_path):
    again = tmp_path / "again.parquet"
    pq.write_table(pq.read_table(saved), again, compression="none")
    assert Manifest.load(saved).digest == Manifest.load(again).digest == both.digest
    assert Manifest(both.source, both.attacks, both.planted[1:], both.pictures).digest != both.digest


def test_combine_refuses_shared_uids_names_and_other_data(both):
    source = FakeSource(200)
    first = plan("badnets", source, count=9, target_class="dog")
    with pytest.raises(InputError, match=f"uid {first.uids[0]} is planted twice"):
        Manifest.combine([first, plan("badnets", source, count=9, target_class="dog")])
    second = plan("badnets", source, count=9, target_class="cat", avoid=first.uids)
    with pytest.raises(InputError, match=r"same name"):
        Manifest.combine([first, second])
    with pytest.raises(InputError, match=r"other data"):
        Manifest.combine([first, plan("badnets", FakeSource(199), count=9, title="other")])
    with pytest.raises(InputError, match=r"no manifests"):
        Manifest.combine([])


# ------------------------------------------------------------------------------------------------ hostile files


def rewrite(path, edit_rows=lambda rows: rows, edit_about=lambda about: about):
    table = pq.read_table(path)
    about = edit_about(json.loads(table.schema.metadata[KEY]))
    rows = edit_rows(table.to_pylist())
    pq.write_table(
        pa.Table.from_pylist(rows, schema=table.schema.with_metadata({KEY: json.dumps(about).encode()})), path
    )


def set_last(**values):
    def edit(rows):
        rows[-1].update(values)
        return rows

    return edit


def set_about(*path, value):
    def edit(about):
        at = about
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        return about

    return edit


def bomb():
    """A PNG of 60,000 x 60,000 px in a few kB."""

    def block(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    size = (60_000).to_bytes(4, "big")
    head = block(b"IHDR", size + size + bytes([8, 0, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + head + block(b"IDAT", zlib.compress(bytes(1000))) + block(b"IEND", b"")


def jpeg():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    return buffer.getvalue()


ROWS = {
    "uid beyond the data": (set_last(uid=200), "uid 200 is outside"),
    "negative uid": (set_last(uid=-2), "uid -2 is outside"),
    "uid twice": (lambda rows: [*rows, rows[-1]], "is planted twice"),
    "no uid": (set_last(uid=None), "uid is null"),
    "unknown attack": (set_last(attack="x"), "is not among"),
    "no attack": (set_last(attack=None), "attack is null"),
    "no such target": (set_last(target_index=99, attack="targeted"), "no target 99"),
    "empty caption": (set_last(caption=" \n"), "caption is empty"),
    "null before": (set_last(caption_before=[None]), "holds a null"),
    "trigger is no JSON": (set_last(trigger="import os"), "no JSON"),
    "trigger of 400 digits": (set_last(trigger='{"name": "sig", "params": {"delta": 1%s}}' % ("0" * 400)), "delta ="),
    "unknown trigger": (set_last(trigger='{"name": "rm", "params": {}}'), "trigger.name"),
    "picture is pickle": (set_last(image=pickle.dumps({})), "no PNG"),
    "picture is JPEG": (set_last(image=jpeg()), "no PNG"),
    "picture cut off": (set_last(image=to_png(np.zeros((8, 8, 3), np.uint8))[:40]), "cannot be used"),
    "picture is a bomb": (set_last(image=bomb()), "cannot be used"),
    "target picture gone": (lambda rows: rows[1:], "do not fit together"),
    "target picture twice": (lambda rows: [rows[0], *rows], "needs one picture"),
    "another trigger in one row": (
        lambda rows: [
            {**row, "trigger": row["trigger"] and row["trigger"].replace('"place": "random"', '"place": "corner"')}
            if row is next(r for r in rows if r["trigger"])
            else row
            for row in rows
        ],
        "one and the same trigger",
    ),
    "no trigger in a backdoor": (lambda rows: [{**row, "trigger": None} for row in rows], "one and the same trigger"),
}


@pytest.mark.parametrize("case", ROWS)
def test_hostile_rows_are_refused_in_one_line(saved, case):
    edit, message = ROWS[case]
    rewrite(saved, edit_rows=edit)
    assert_refused(saved, message)


ABOUT = {
    "format": (set_about("format", value=2), "format 2"),
    "not an object": (lambda about: [1], "metadata is missing"),
    "source": (set_about("source", value=None), "source = None"),
    "length": (set_about("source", "length", value="200"), "source.length"),
    "length true": (set_about("source", "length", value=True), "source.length"),
    "attacks": (set_about("attacks", value={}), "attacks = {}"),
    "an attack": (set_about("attacks", 0, value=3), "give an object"),
    "name": (set_about("attacks", 0, "name", value=["x"]), "name ="),
    "kind": (set_about("attacks", 0, "kind", value="worm"), "kind ="),
    "seed": (set_about("attacks", 1, "seed", value="0"), "seed ="),
    "class names": (set_about("attacks", 0, "class_names", value=[1]), "class_names"),
    "target class": (set_about("attacks", 1, "target_class", value="zebra"), "target_class"),
    "targets": (set_about("attacks", 0, "targets", value=[]), "targets"),
    "target index": (set_about("attacks", 0, "targets", 0, "index", value=1), "index 1"),
    "target type": (set_about("attacks", 0, "targets", 0, "target", value={}), "target = {}"),
    "same name": (set_about("attacks", 1, "name", value="targeted"), "same name"),
    "name of two lines": (set_about("attacks", 1, "name", value="a\nb"), "give printable text"),
    "half a character": (set_about("attacks", 0, "class_names", value=["\ud800"]), "class_names"),
    "true class, half a character": (set_about("attacks", 0, "targets", 0, "true", value="\ud800"), "true ="),
    "target uid of 71 bits": (set_about("attacks", 0, "targets", 0, "uid", value=2**70), "targets[0].uid ="),
    "negative target uid": (set_about("attacks", 0, "targets", 0, "uid", value=-1), "targets[0].uid = -1"),
    "targets in a backdoor": (set_about("attacks", 1, "targets", value=[{}]), "a backdoor attack has none"),
    "null targets in a backdoor": (set_about("attacks", 1, "targets", value=None), "a backdoor attack has none"),
    "from_class in a backdoor": (set_about("attacks", 1, "from_class", value=["cat"]), "from_class = ['cat']"),
    "target class of a targeted attack": (set_about("attacks", 0, "target_class", value=[]), "target_class = []"),
}


@pytest.mark.parametrize("case", ABOUT)
def test_hostile_metadata_is_refused_in_one_line(saved, case):
    edit, message = ABOUT[case]
    rewrite(saved, edit_about=edit)
    assert_refused(saved, message)


@pytest.mark.parametrize("column", ["uid", "attack", "image", "caption", "trigger", "target_index", "caption_before"])
def test_missing_columns_and_wrong_types_name_the_column(saved, column):
    table = pq.read_table(saved)
    pq.write_table(table.drop_columns([column]), saved)
    assert_refused(saved, f"column {column} is missing")
    wrong = pa.array([1.5] * len(table))
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, wrong), saved)
    assert_refused(saved, f"column {column} is double")


def test_target_pictures_that_would_fill_the_memory_are_refused(both, monkeypatch):
    pixels = 4 * 20 * 24
    monkeypatch.setattr(manifest_check, "MAX_TARGET_PIXELS", pixels)
    Manifest(both.source, both.attacks, both.planted, both.pictures)
    monkeypatch.setattr(manifest_check, "MAX_TARGET_PIXELS", pixels - 1)
    with pytest.raises(InputError, match=f"target pictures of more than {pixels - 1} px"):
        Manifest(both.source, both.attacks, both.planted, both.pictures)


def test_files_that_are_no_manifest(tmp_path, both, saved):
    assert_refused(tmp_path / "none.parquet", "no such manifest")
    assert_refused(tmp_path, "no such manifest")
    path = tmp_path / "x.parquet"
    for content in (b"", b"PAR1", pickle.dumps([1]), saved.read_bytes()[:-20], saved.read_bytes()[200:]):
        path.write_bytes(content)
        assert_refused(path, "not readable as a manifest")
    pq.write_table(pa.table({"uid": [1]}), path)
    assert_refused(path, "metadata is missing")
    pq.write_table(pa.table({"uid": [1]}).replace_schema_metadata({KEY: b"{nonsense"}), path)
    assert_refused(path, "not readable as a manifest")


def test_text_that_is_no_utf8_is_refused(saved):
    table = pq.read_table(saved)
    raw = pa.array([b"\xff\xfe"] * len(table), pa.binary()).cast(pa.binary())
    bad = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())
    pq.write_table(table.set_column(table.schema.get_field_index("caption"), "caption", bad), saved)
    assert_refused(saved, "not readable as a manifest")


def test_nothing_is_written_where_writing_fails(both, tmp_path, monkeypatch):
    path = tmp_path / "m.parquet"
    both.save(path)
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(RunError, match=r"m\.parquet: cannot be written \(disk full\)"):
        both.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_metadata_is_checked_when_built_by_hand(both):
    with pytest.raises(InputError, match=r"uid 200 is outside"):
        Manifest(both.source, both.attacks, [*both.planted[:-1], replace(both.planted[-1], uid=200)], both.pictures)


def assert_refused(path, message):
    with pytest.raises(InputError) as error:
        Manifest.load(path)
    line = str(error.value)
    assert message in line
    assert str(path) in line
    assert "\n" not in line
    assert len(line) < 400 + len(str(path))
