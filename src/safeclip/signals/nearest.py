"""The pairs nearest to each pair in one tower's space, exact within a reference set, a chunk of rows at a time.

    kNN(i) = the k others j of the reference set of greatest <z_i, z_j>;   d(i, j) = |z_i - z_j|

What must stay true: a pair is never its own neighbour, and neighbours do not depend on the chunk. Distances are those
of the differences, not sqrt(2 - 2 cos): near nothing, where copies lie, that root is mostly rounding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from safeclip.data.draws import shuffled
from safeclip.errors import RunError

_KEYED = 64
"""Numbers of each row that say which subset is drawn."""
SAME_POINT = 1e-4
"""Distance of unit embeddings below which they count as one point: the rounding of the towers."""


@torch.no_grad()
def nearest(
    embedding_ND: Tensor,
    reference_M: np.ndarray,
    k: int,
    groups_N: np.ndarray | None = None,
    chunk: int = 2048,
    device: torch.device | None = None,
    rows_N: np.ndarray | None = None,
) -> tuple[Tensor, Tensor]:
    """The k nearest others of each pair, in no order: indices int64 (N, K), and whether there is one, bool (N, K).

    embedding_ND: unit embeddings, float32 or narrower. reference_M: ascending indices of the pairs among which
    neighbours are sought (`drawn`). groups_N: pairs of one id are no neighbours of each other. chunk: rows compared at
    once. device: where they are compared and the answer lies; it holds the reference set and one chunk; None: where the
    embeddings lie. rows_N: int64, the rows of embedding_ND that are the pairs, so that none need be copied; None: all.
    K is k, or the size of the reference set where that is less.
    """
    row_N = torch.arange(len(embedding_ND)) if rows_N is None else torch.from_numpy(rows_N)
    count, device = len(row_N), embedding_ND.device if device is None else device
    ids = np.arange(count) if groups_N is None else np.unique(groups_N, return_inverse=True)[1].reshape(-1)
    group_N = torch.from_numpy(ids.astype(np.int64)).to(device)
    copied_N = torch.bincount(group_N)[group_N] > 1 if count else torch.zeros(0, dtype=torch.bool, device=device)
    among_M = torch.from_numpy(reference_M).to(device)
    slot_N = torch.full((count,), -1, dtype=torch.long, device=device)
    slot_N[among_M] = torch.arange(len(among_M), device=device)
    embedding_MD = embedding_ND[row_N[reference_M]].to(device).float()
    group_M = group_N[among_M]

    width = min(k, len(among_M))
    index_NK = torch.zeros(count, width, dtype=torch.long, device=device)
    there_NK = torch.zeros(count, width, dtype=torch.bool, device=device)
    for start in range(0, count, chunk):
        rows = slice(start, start + chunk)
        similar_BM = embedding_ND[row_N[rows]].to(device).float() @ embedding_MD.T
        _leave_out(similar_BM, slot_N[rows], group_N[rows], copied_N[rows], group_M)
        near_BK, place_BK = similar_BM.topk(width, dim=1, sorted=False)
        index_NK[rows], there_NK[rows] = among_M[place_BK], near_BK > -torch.inf
    return index_NK, there_NK


@torch.no_grad()
def most_alike(
    embed: Callable[[np.ndarray], Tensor],
    given_N: np.ndarray,
    k: int,
    chunk: int,
    max_reference: int,
    asked_R: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """Chunk by chunk: rows int64 (B,), their k highest similarities to others, descending, (B, K), -inf where a row
    has fewer others, and which these are, int64 (B, K). For embeddings too large to hold: `embed` makes those (B, D) of
    the rows that it is given.

    given_N: what they are made of, a row a pair. asked_R: the rows to go through; None: all.
    chunk, max_reference: as in `nearest`. K is k, or the size of the reference set where that is less.
    """
    count, reference_M = len(given_N), drawn(given_N, max_reference)
    embedding_MD = torch.cat([
        embed(reference_M[start : start + chunk]) for start in range(0, len(reference_M), chunk)
    ])  # fmt: skip
    slot_N = np.full(count, -1)
    slot_N[reference_M] = np.arange(len(reference_M))
    asked_R = np.arange(count) if asked_R is None else asked_R
    for start in range(0, len(asked_R), chunk):
        rows = asked_R[start : start + chunk]
        similar_BM = embed(rows) @ embedding_MD.T
        own = torch.from_numpy(np.flatnonzero(slot_N[rows] >= 0)).to(similar_BM.device)
        similar_BM[own, torch.from_numpy(slot_N[rows]).to(own.device)[own]] = -torch.inf
        most_BK, place_BK = similar_BM.topk(min(k, len(reference_M)), dim=1)
        yield rows, most_BK, torch.from_numpy(reference_M).to(place_BK.device)[place_BK]


@torch.no_grad()
def distances(
    embedding_ND: Tensor,
    k: int,
    chunk: int = 2048,
    max_reference: int = 100_000,
    device: torch.device | None = None,
) -> tuple[Tensor, Tensor]:
    """Distances to the k nearest others, ascending, float64 (N, K), and their indices int64 (N, K).

    As `nearest`, above max_reference pairs among a random subset of this size; K is less than k where a pair of the
    reference set has fewer others there, 0 where it is alone.

    Raises:
        ValueError: embedding_ND is not (N, D), or k, chunk or max_reference is below 1.
        RunError: an embedding is not finite.
    """
    check_embeddings("distances", k, chunk, max_reference, image=embedding_ND)
    embedding_ND = embedding_ND.detach().float()
    count, lies = len(embedding_ND), embedding_ND.device
    k = max(0, min(k, min(count, max_reference) - 1))
    index_NK, _ = nearest(embedding_ND, drawn(embedding_ND, max_reference), k, None, chunk, device)
    distance_NK = torch.zeros(index_NK.shape, dtype=torch.float64, device=index_NK.device)
    for start in range(0, count, chunk):
        rows = slice(start, start + chunk)
        near_BKD = embedding_ND[index_NK[rows].to(lies)].to(index_NK.device)
        apart_BK = (embedding_ND[rows, None].to(index_NK.device) - near_BKD).norm(dim=2, dtype=torch.float64)
        distance_NK[rows], order_BK = apart_BK.sort(dim=1, stable=True)
        index_NK[rows] = index_NK[rows].gather(1, order_BK)
    return distance_NK, index_NK


def reference(count: int, most: int, seed: int = 0) -> np.ndarray:
    """Indices, ascending: all `count`, or `most` of them at random, the same for the same seed."""
    if count <= most:
        return np.arange(count)
    return np.sort(shuffled(seed, epoch=0, uids=np.arange(count), stream=0)[:most])


def drawn(given_N: np.ndarray | Tensor, most: int, rows_N: np.ndarray | None = None) -> np.ndarray:
    """Indices, ascending: of all rows, or of `most` of them at random, as the rows themselves have it: whoever does not
    have all of them cannot know which, and so cannot plant pairs that are never compared with one another. rows_N: the
    rows to draw among, and the indices are its own; None: all."""
    count = len(given_N if rows_N is None else rows_N)
    if count <= most:
        return np.arange(count)
    row_ND = given_N.reshape(len(given_N), -1)
    some = row_ND[:, :: -(-row_ND.shape[1] // _KEYED)]
    some = some if rows_N is None else some[rows_N]
    some = some.detach().float().cpu().numpy() if isinstance(some, Tensor) else some
    digest = hashlib.blake2b(np.ascontiguousarray(some).data, digest_size=7).digest()
    return reference(count, most, seed=int.from_bytes(digest, "big"))


def check_embeddings(where: str, k: int, chunk: int, max_reference: int, **embeddings: Tensor) -> None:
    """Raises ValueError on shapes that do not fit or numbers below 1, RunError on embeddings that are not finite."""
    count = len(next(iter(embeddings.values())))
    if any(e.ndim != 2 or len(e) != count for e in embeddings.values()):
        shapes = " and ".join(str(tuple(e.shape)) for e in embeddings.values())
        raise ValueError(f"{where}: shapes {shapes}; give (N, D), one row a pair")
    if min(k, chunk, max_reference) < 1:
        raise ValueError(f"{where}: k = {k}, chunk = {chunk}, max_reference = {max_reference}; give 1 or more")
    for name, embedding in embeddings.items():
        parts = (embedding[start : start + chunk] for start in range(0, count, chunk))
        bad = sum((~torch.isfinite(part).all(1)).sum().item() for part in parts)
        if bad:
            raise RunError(f"{where}: {bad} {name} embeddings are not finite; lower optim.rate or set optim.clip_norm")


def _leave_out(similar_BM: Tensor, slot_B: Tensor, group_B: Tensor, copied_B: Tensor, group_M: Tensor) -> None:
    """Set the similarities to the pair itself and to its group to -inf, in place."""
    own = torch.nonzero(slot_B >= 0).squeeze(1)
    similar_BM[own, slot_B[own]] = -torch.inf
    copied = torch.nonzero(copied_B).squeeze(1)
    if len(copied):
        same_CM = group_B[copied, None] == group_M
        similar_BM[copied] = similar_BM[copied].masked_fill_(same_CM, -torch.inf)
