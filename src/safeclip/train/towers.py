"""All views of a batch through both towers, as few and as fast calls as give the same result.

Views that all carry gradients go through a tower in one call where rows do not touch each other. Batch norm makes them
touch: its statistics over two views are not those of each, so a tower that has it gets its views one after the other.

With `compile`, full batches go through torch.compile: fixed shapes, so that nothing is compiled again once every length
of caption has been seen. A short last batch, or one that lost a bad pair, has a size of its own and runs as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from safeclip.model.context import encode_text
from safeclip.model.precision import Precision, autocast

Encode = Callable[[Tensor], Tensor]


class Towers(nn.Module):
    """compile: mode of torch.compile, None for none. rows: sizes of the batches that are compiled."""

    def __init__(
        self,
        net: nn.Module,
        precision: Precision,
        device: torch.device,
        compile: str | None = None,
        rows: Iterable[int] = (),
    ):
        super().__init__()
        self.net, self.precision, self.device = net, precision, device
        self.rows, self.mode = frozenset(rows), compile
        self.fast: dict[str, Encode] = {}
        if compile is not None:
            # each length of caption and each kind of view is a graph of its own, more than torch allows unasked
            wanted = {"recompile_limit": 64, "isolate_recompiles": True}
            known = {k: v for k, v in wanted.items() if k in inspect.signature(torch.compile).parameters}
            for name, encode in (("image", self._image), ("text", self._text)):
                self.fast[name] = torch.compile(encode, dynamic=False, mode=compile, **known)  # type: ignore[call-overload]
        normed = [name for name, module in net.named_modules() if isinstance(module, _BatchNorm)]
        self.together = {"image": not normed, "text": all(name.startswith("visual.") for name in normed)}

    @property
    def compiled(self) -> bool:
        return bool(self.fast)

    @property
    def in_graphs(self) -> bool:
        """Whether they run as CUDA graphs, whose outputs the next run overwrites."""
        return self.compiled and self.mode != "default"

    def uncompile(self) -> None:
        """Run every batch as it is from now on."""
        self.fast = {}

    def forward(
        self, pixels: list[Tensor], tokens: list[Tensor], grads: tuple[bool, ...]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """pixels: (b, 3, S, S) and tokens: int64 (b, T), of each view. Unit embeddings, float32 (b, D)."""
        if self.in_graphs:
            # from here on, outputs of the step before may be overwritten
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return self._views("image", self._image, pixels, grads), self._views("text", self._text, tokens, grads)

    def _views(self, name: str, encode: Encode, views: list[Tensor], grads: tuple[bool, ...]) -> list[Tensor]:
        if len(views[0]) in self.rows:
            encode = self.fast.get(name, encode)
        if self.together[name] and len(views) > 1 and all(grads):
            return list(self._unit(encode, torch.cat(views), True).chunk(len(views)))
        return [self._unit(encode, view, grad) for view, grad in zip(views, grads, strict=True)]

    def _unit(self, encode: Encode, view: Tensor, grad: bool) -> Tensor:
        with torch.set_grad_enabled(grad), autocast(self.precision, self.device):
            embedding = encode(view)
        return F.normalize(embedding.float(), dim=1)

    def _image(self, pixels: Tensor) -> Tensor:
        net: Any = self.net
        embedding: Tensor = net.encode_image(pixels)
        return embedding

    def _text(self, tokens: Tensor) -> Tensor:
        return encode_text(self.net, tokens)


def compile_errors() -> tuple[type[Exception], ...]:
    """What torch.compile raises where it cannot compile, in the forward or the backward pass."""
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

    return TorchDynamoException, CppCompileError, InvalidCxxCompiler
