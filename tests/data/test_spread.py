"""Places evenly spread: from the first to the last, all of few, none twice."""

from __future__ import annotations

import numpy as np
import pytest

from safeclip.data.spread import spread


@pytest.mark.parametrize("most", [1, 2, 16, 32, 200, 2000])
def test_no_place_comes_twice_and_few_are_all_taken(most: int) -> None:
    for count in [*range(300), most, most + 1, 10 * most + 1, 10**9 + 7]:
        found = spread(count, most)
        assert found.dtype == np.int64
        assert len(found) == min(count, most)
        assert (np.diff(found) > 0).all()
        if count <= most:
            assert found.tolist() == list(range(count))
        elif most > 1:
            assert (found[0], found[-1]) == (0, count - 1)
