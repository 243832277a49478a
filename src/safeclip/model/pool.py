"""Pool of past embeddings of one modality: a FIFO ring in which an embedding's nearest neighbour is looked up.

    NN(z) = argmax_{q in ring} <z, q>                      Dwibedi et al. 2021 (NNCLR), section 3.2

What must stay true: every row of the ring that was filled is finite and of unit length, and neither looking up nor
enqueueing waits for the device (but while the ring fills, which is soon over). Until the ring has been filled once, an
embedding stands in for its own neighbour: the official code starts from random vectors, and first matches noise.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from safeclip.errors import InputError
from safeclip.model.later import Later

_BLOCK = 1 << 25
"""Similarities held at once by a lookup: 128 MiB of float32."""


class Pool:
    """FIFO ring of the newest `size` embeddings of length `dim`. A pool of size 0 gives every embedding back.

    Look up before you enqueue, or each embedding finds itself.

    >>> pool = Pool(size=2, dim=2)
    >>> pool.enqueue(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    >>> pool.nearest(torch.tensor([[0.6, 0.8]]))
    tensor([[0., 1.]])
    """

    def __init__(self, size: int, dim: int):
        if size < 0 or dim < 1:
            raise ValueError(f"Pool: size = {size}, dim = {dim}; give size 0 or more and dim 1 or more")
        self.size, self.dim = size, dim
        self.ring = torch.zeros(size, dim)
        self.spread: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor] = lambda look_up, rows_BD: look_up(rows_BD)
        """Who looks rows up: where ranks have the same rows and the same ring, each its share of them."""
        self._position, self._filled = 0, False
        self._entered: Later | None = None  # how many rows the last `enqueue` put in

    @property
    def position(self) -> int:
        """Slot that the next embedding goes into."""
        self._settle()
        return self._position

    @property
    def filled(self) -> bool:
        """Whether every slot has been written once."""
        if not self._filled:
            self._settle()
        return self._filled

    def to(self, device: torch.device | str) -> Pool:
        """Move the ring; returns self."""
        self.ring = self.ring.to(device)
        return self

    @torch.no_grad()
    def nearest(self, z_BD: Tensor) -> Tensor:
        """Each row's nearest neighbour in the ring by cosine, detached; z itself, detached, until the ring was full.

        Raises:
            ValueError: z is not (B, dim).
        """
        self._check(z_BD)
        if not self.filled:
            return z_BD.detach()
        return self.ring[self.spread(self._slots, z_BD.detach().float())]

    def _slots(self, queries_BD: Tensor) -> Tensor:
        """The slot nearest to each row, int64 (B,)."""
        rows = max(1, _BLOCK // self.size)
        with torch.autocast(self.ring.device.type, enabled=False):
            found = [(part_BD @ self.ring.T).argmax(1) for part_BD in torch.split(queries_BD, rows) if len(part_BD)]
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.long, device=queries_BD.device)

    @torch.no_grad()
    def enqueue(self, z_BD: Tensor) -> None:
        """Put embeddings in, oldest out, in the rows' order. Rows that are not finite, or zero, have no direction and
        are skipped. Of more than `size`, the newest stay.

        Raises:
            ValueError: z is not (B, dim).
        """
        self._check(z_BD)
        for part_BD in torch.split(z_BD, self.size) if self.size else ():
            self._enqueue(part_BD.detach().to(self.ring))

    def _enqueue(self, z_BD: Tensor) -> None:
        """At most `size` rows. The device alone knows which are usable: the others write back what their slot holds."""
        norm_B = z_BD.norm(dim=1)
        usable_B = torch.isfinite(norm_B) & (norm_B > 0)
        usable_first_B = (~usable_B).byte().argsort(stable=True)
        slots_B = (self.position + torch.arange(len(z_BD), device=self.ring.device)) % self.size
        new_BD, kept_B = F.normalize(z_BD, dim=1)[usable_first_B], usable_B[usable_first_B]
        self.ring[slots_B] = torch.where(kept_B[:, None], new_BD, self.ring[slots_B])
        self._entered = Later(usable_B.sum())

    def _settle(self) -> None:
        if self._entered is not None:
            count, self._entered = int(self._entered.take()[0]), None
            self._filled = self._filled or self._position + count >= self.size
            self._position = (self._position + count) % self.size

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors `ring` (size, dim), `position` and `filled` (scalars): copies, on the CPU."""
        return {
            "ring": self.ring.detach().cpu().clone(),
            "position": torch.tensor(self.position),
            "filled": torch.tensor(self.filled),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up a saved state; the ring stays on its device.

        Raises:
            InputError: the state is of a pool of another size or dim, or not of a pool.
        """
        wanted = {"ring": (self.size, self.dim), "position": (), "filled": ()}
        if set(state) != set(wanted):
            raise InputError(f"pool state: holds {sorted(state)}; a checkpoint's pool has {sorted(wanted)}")
        for name, shape in wanted.items():
            if tuple(state[name].shape) != shape:
                raise InputError(
                    f"pool state: {name} has shape {tuple(state[name].shape)}, this run's has {shape}; "
                    "keep the method's pool_size and pool_share, and the model, as they were"
                )
        position = int(state["position"])
        if not 0 <= position < max(1, self.size) or not bool(torch.isfinite(state["ring"]).all()):
            raise InputError(f"pool state: position = {position}, or the ring is not finite; the checkpoint is damaged")
        self.ring.copy_(state["ring"])
        self._position, self._filled, self._entered = position, bool(state["filled"]), None

    def _check(self, z_BD: Tensor) -> None:
        if z_BD.ndim != 2 or z_BD.shape[1] != self.dim:
            raise ValueError(f"Pool: embeddings have shape {tuple(z_BD.shape)}; give (batch, {self.dim})")
