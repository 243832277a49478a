"""Was a pattern laid over pictures, or are they alike by nature? Pictures under one overlay have one pattern in common,
each as much of it as shows, and nothing besides. Pictures of one thing are alike in many ways at once.

    t_i  = the mean fine pattern (`whitening`) of i and of the k most alike, at unit length
    r_i  = l_2 / l_1,   l_1 >= l_2 >= ... the eigenvalues of <w_a, w_b> among those of greatest <w_a, t_i>

The pattern t_i is an overlay where r_i is small. A fainter one is small beside what pictures have in common by nature,
but it has a sign: where many show it, none shows its negative, while of a shore or a roof light and dark change sides.
(What pictures without detail share has a sign too. It is the negative of the mean picture, which was taken off them.)
Then the first eigenvector tells the other bearers too: its correlation with a picture sees a trace far too faint to be
seen between two pictures (a matched filter: Turin 1960).
What must stay true: it asks nothing of captions or content, for a pattern may happen to look like a class, and then its
pictures fit that class's captions whatever they show; nor how strong the pattern is, which whoever plants it may draw
for each picture. Whoever plants a faint pattern in both signs leaves neither one thing in common nor a sign.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from safeclip.signals.leave_one_out import Features
from safeclip.signals.nearest import drawn, most_alike
from safeclip.signals.outlying import outlying
from safeclip.signals.whitening import Whitening

_ONE = 0.09
"""r below which pictures have one pattern in common: under an overlay it is 0.003 to 0.08, among those alike by nature
0.10 and more (docs/lab.md, 23)."""
_FEWEST, _MOST = 16, 64
"""Bearers that are asked. Fewer must have more of the pattern."""
_SIGNED, _ONE_SIGNED = 0.1, 0.2
"""Pictures with the negative of a pattern, for each with the pattern, below which it has a sign: under an overlay there
are 0.02 and less, by nature 0.28 and more where 96 bear it, and less than 0.1 only where r is 0.34 and more
(docs/lab.md, 26). And r below which that alone tells an overlay, where _MOST pictures bear it."""
_BARE = -0.2
"""Correlation with the mean picture's pattern below which it is what pictures without detail share."""
_ASKED = 8192
"""Accused pairs that are asked, at most: where an overlay lies on enough to be found, many of them bear it."""
_TRACE = 7.0
"""Median deviations beyond which a picture bears a pattern; of a normal distribution, 1 in 800,000 lies there."""
_AT_ONCE = 64
"""Overlays whose traces are looked for in one pass over the pictures."""
_SAME = 0.5
"""Correlation of two overlays from which they are one."""


@torch.no_grad()
def overlays(
    thumbnails_NHWC: np.ndarray,
    accused_N: np.ndarray,
    k: int = 8,
    chunk: int = 1024,
    max_reference: int = 50_000,
    device: torch.device | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs that bear a trace of an overlay that accused ones are found under, they among them: bool (N,). And r of
    those asked, float32 (N,), 0..1; 1 for all others, and where too few bear the pattern.

    thumbnails_NHWC: uint8 (N, H, W, 3). accused_N: bool, the pairs whose patterns are asked. k: others that a pattern
    is taken from. chunk, max_reference, device: as in `patterns.shared_pattern`.

    Raises:
        ValueError: shapes do not fit; k, chunk or max_reference below 1.
    """
    if len(thumbnails_NHWC) != len(accused_N) or min(k, chunk, max_reference) < 1:
        raise ValueError(
            f"overlays: {len(thumbnails_NHWC)} pictures, {len(accused_N)} accused, k = {k}, chunk = {chunk}, "
            f"max_reference = {max_reference}; give as many of each, and numbers of 1 or more"
        )
    bears_N, second_N = np.zeros(len(accused_N), bool), np.ones(len(accused_N), np.float32)
    asked_R, reference_M = np.flatnonzero(accused_N), drawn(thumbnails_NHWC, max_reference)
    if not len(asked_R) or len(reference_M) < _FEWEST:
        return bears_N, second_N
    asked_R = asked_R[drawn(thumbnails_NHWC[asked_R], _ASKED)]
    whiten = Whitening.of(thumbnails_NHWC, device)
    fine: Features = lambda rows: whiten(thumbnails_NHWC[rows]).flatten(1)  # noqa: E731
    fine_MP = torch.cat([fine(part) for part in _parts(reference_M, chunk)])
    mean_P, found = whiten.of_mean(), list[Tensor]()
    for rows, _, near_BK in most_alike(fine, thumbnails_NHWC, k, chunk, max_reference, asked_R=asked_R):
        near_KB = near_BK.T.cpu().numpy()
        pattern_BP = F.normalize(torch.stack([fine(some) for some in (rows, *near_KB)]).sum(0), dim=1)
        for row, (second, signed, pattern_P) in zip(rows, _borne(pattern_BP, fine_MP), strict=True):
            second_N[row] = second
            has_sign = signed and float(pattern_P @ mean_P) > _BARE
            one = second < (_ONE_SIGNED if has_sign else _ONE)
            if one and not any(float(pattern_P @ other_P) > _SAME for other_P in found):
                found.append(pattern_P)
    for start in range(0, len(found), _AT_ONCE):
        pattern_PO = torch.stack(found[start : start + _AT_ONCE], dim=1)
        trace_NO = torch.cat([fine(part) @ pattern_PO for part in _parts(np.arange(len(accused_N)), chunk)])
        for trace_N in trace_NO.T.cpu().numpy():
            bears_N |= outlying(trace_N, _TRACE)
    return bears_N, second_N


def _borne(pattern_BP: Tensor, fine_MP: Tensor) -> Iterator[tuple[float, bool, Tensor]]:
    """Of each pattern: r, 1 where too few bear it; whether it has a sign; and what its bearers have in common, (P,)."""
    trace_BM = pattern_BP @ fine_MP.T
    trace_BM -= trace_BM.median(1, keepdim=True).values
    least_B1 = _TRACE * trace_BM.abs().median(1, keepdim=True).values
    bearers_B, negatives_B = (trace_BM > least_B1).sum(1).tolist(), (trace_BM < -least_B1).sum(1).tolist()
    most_BK = trace_BM.topk(min(_MOST, len(fine_MP)), dim=1).indices
    for pattern_P, most_K, bearers, negatives in zip(pattern_BP, most_BK, bearers_B, negatives_B, strict=True):
        if bearers < _FEWEST:
            yield 1.0, False, pattern_P
            continue
        fine_CP = fine_MP[most_K[:bearers]]
        values, vectors = torch.linalg.eigh(fine_CP @ fine_CP.T)
        first_C = vectors[:, -1] * vectors[:, -1].sum().sign()
        signed = bearers >= _MOST and negatives <= _SIGNED * bearers
        yield float(values[-2] / values[-1]), signed, F.normalize(first_C @ fine_CP, dim=0)


def _parts(rows: np.ndarray, chunk: int) -> list[np.ndarray]:
    return [rows[start : start + chunk] for start in range(0, len(rows), chunk)]
