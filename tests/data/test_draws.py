"""Draws without a state: the same everywhere, uniform, and unlike each other in every argument."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeclip.data import draws
from safeclip.data.draws import shuffled, uniforms

MASK = (1 << 64) - 1


def mix(x: int) -> int:
    """splitmix64's step and finaliser in plain whole numbers (Steele, Lea, Flood 2014)."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def literal(seed: int, epoch: int, uid: int, stream: int, count: int) -> list[float]:
    row = mix(uid ^ mix(mix(mix(seed) ^ epoch) ^ stream))
    return [(mix((row + i * 0x9E3779B97F4A7C15) & MASK) >> 11) * 2.0**-53 for i in range(1, count + 1)]


@given(
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 1000),
    uid=st.integers(0, 2**62),
    stream=st.integers(0, 200),
)
def test_draws_equal_the_literal_hash(seed: int, epoch: int, uid: int, stream: int) -> None:
    assert uniforms(seed, epoch, np.array([uid]), stream, 3)[0].tolist() == literal(seed, epoch, uid, stream, 3)


def test_the_hash_is_splitmix64() -> None:
    state, found = 1234567, []
    for _ in range(3):  # as a generator: the state moves by the golden ratio, the finaliser gives the number
        found.append(mix(state))
        state = (state + 0x9E3779B97F4A7C15) & MASK
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423], "published test vectors"


def test_draws_of_a_pair_do_not_depend_on_its_batch() -> None:
    uids = np.arange(100)
    whole = uniforms(3, 2, uids, 1, 5)
    assert np.array_equal(uniforms(3, 2, uids[[70, 4]], 1, 5), whole[[70, 4]])
    assert np.array_equal(uniforms(3, 2, uids, 1, 3), whole[:, :3]), "more draws leave the first as they are"


def test_draws_are_uniform_and_differ_in_every_argument() -> None:
    uids = np.arange(20_000)
    base = uniforms(0, 1, uids, 10, 2)
    assert ((base >= 0) & (base < 1)).all()
    counts, _ = np.histogram(base, 20, (0, 1))
    assert abs(counts - 2000).max() < 5 * np.sqrt(2000)
    others = [uniforms(1, 1, uids, 10, 2), uniforms(0, 2, uids, 10, 2), uniforms(0, 1, uids, 11, 2), base[::-1]]
    for other in [*others, base[:, ::-1]]:
        assert abs(np.corrcoef(base[:, 0], other[:, 0])[0, 1]) < 0.03
        assert not np.isclose(base, other).all(1).any()


@given(uids=st.lists(st.integers(0, 2**40), unique=True, max_size=50), seed=st.integers(0, 99))
def test_a_shuffle_is_a_permutation_whatever_order_comes_in(uids: list[int], seed: int) -> None:
    order = shuffled(seed, 1, np.array(uids, np.int64), 5)
    assert sorted(order.tolist()) == sorted(uids)
    assert np.array_equal(order, shuffled(seed, 1, np.array(sorted(uids), np.int64), 5))


def test_every_position_is_as_likely() -> None:
    first = np.bincount([shuffled(seed, 1, np.arange(5), 0)[0] for seed in range(3000)], minlength=5)
    assert abs(first - 600).max() < 5 * np.sqrt(600)


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_draws_the_same(hash_seed: str) -> None:
    code = (
        "import numpy as np; from safeclip.data.draws import uniforms, shuffled;"
        "print(uniforms(7, 3, np.arange(4), 2, 2).tolist(), shuffled(7, 3, np.arange(9), 2).tolist())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
    )
    here = f"{uniforms(7, 3, np.arange(4), 2, 2).tolist()} {shuffled(7, 3, np.arange(9), 2).tolist()}"
    assert other.stdout.strip() == here


def test_no_two_purposes_share_a_stream() -> None:
    """Else draws that should have nothing to do with each other would be the same numbers."""
    root = Path(draws.__file__).parents[1]
    found = {}
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Assign):
                names = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets
                values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
                for name, value in zip(names, values, strict=False):
                    if isinstance(name, ast.Name) and name.id.endswith("_STREAM"):
                        found.setdefault(ast.literal_eval(value), []).append(f"{file.stem}.{name.id}")
    assert len(found) > 15
    assert [names for names in found.values() if len(names) > 1] == []
