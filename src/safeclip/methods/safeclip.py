"""SafeCLIP (Yang, Gao, Mirzasoleiman, ICML 2024, section 4): warm up unimodally, align a little, split, and train each
side on its own loss.

    epochs 1..W         unimodal loss, all pairs
    epochs W+1..W+A     CLIP loss, all pairs but barred ones; those: unimodal loss; low constant rate
    epoch  W+A+1+t      share_t * N pairs of least risk: CLIP loss; the others: unimodal loss, of two views or of one

What must stay true: in a defended epoch no cross-modal gradient reaches a risky pair, and in no epoch one that vetoes
bar; every usable pair is planned exactly once an epoch, but barred ones where `barred` leaves them out: they are never
planned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from safeclip.config import RunConfig
from safeclip.data.loader import Recipe
from safeclip.data.plan import count_batches, plan
from safeclip.errors import RunError
from safeclip.methods.base import Embeddings, Epoch, Method, Objective, Schedule, State, Tools
from safeclip.methods.clip import clip_objective, clip_objective_loss, one_objective
from safeclip.methods.running_scores import RunningScores
from safeclip.methods.vetoes import Vetoes
from safeclip.model.pool import Pool
from safeclip.objective import unimodal_loss
from safeclip.signals.neighbours import neighbour_agreement
from safeclip.split import (
    first_share,
    fit_mixture,
    one_sided,
    pack,
    parts,
    risk_of,
    safest,
    share_at,
    unpack,
    upper_posterior,
)

_COMPARING = {"neighbours", "caption_neighbours"}
"""Signals that compare pairs with one another, and so need their embeddings: how well the captions of the nearest
pictures agree, and the pictures of the nearest captions."""


class SafeClip(Method):
    of_first = ("running.", "veto.")

    def __init__(self, config: RunConfig, pairs: int, dim: int, decides: bool = True):
        own = config.safeclip
        self.config, self.own, self.pairs = config, own, pairs
        self.before = own.warmup_epochs + own.align_epochs
        self.pools = {name: Pool(own.pool(pairs), dim) for name in ("image", "text")}
        one, two = (Recipe(views, augment=True, eda=config.views.text == "eda") for views in (1, 2))
        # Through view 1 no gradient flows: its neighbour in the pool stands in for it.
        self.objectives = {"unimodal": Objective(two, grads=(False, True)), "clip": clip_objective(config)}
        self.risky = "unimodal" if own.risky_views == 2 else "one_view"
        if self.risky == "one_view":
            self.objectives["one_view"] = Objective(one, grads=(True,))
        self.safe = np.zeros(pairs, bool)
        self.left_out = np.zeros(pairs, bool)
        self.compares = bool(_COMPARING & {*own.risk})
        self.vetoes = Vetoes(own, pairs, with_groups=self.compares, decides=decides)
        self.share_first: float | None = None
        self.steps: dict[str, int] = {}
        keeps = own.scoring == "running" and decides
        self.running = RunningScores(pairs, dim, keep=self.compares) if keeps else None

    def begin_epoch(self, epoch: int, tools: Tools) -> None:
        first = epoch == self.own.warmup_epochs + 1 and not self.vetoes.under_way
        if first and epoch > 1 and not self.pools["image"].filled:
            tools.note(
                "the pool has not been full yet: pairs are their own neighbours until it is (safeclip.pool_size)"
            )
        if epoch <= self.before:
            if self.own.barred == "left out" or epoch > self.own.warmup_epochs:
                self.vetoes.look(tools)
                self._take(tools.decide(lambda: self._bar(tools)))
            return
        fresh = tools.embed(self.compares) if self.own.scoring == "fresh" else None
        self.vetoes.look(tools)
        self._take(tools.decide(lambda: self._split(epoch, fresh, tools)))

    def plan(self, epoch: int, usable: np.ndarray) -> Epoch:
        usable = usable & ~self.left_out
        config, own, optim = self.config, self.own, self.config.optim
        unimodal_rate = optim.unimodal_rate or optim.rate
        if epoch <= own.warmup_epochs:
            uids, epochs = np.flatnonzero(usable), own.warmup_epochs
            return one_objective(config, epoch, "warmup", "unimodal", uids, epochs=epochs, rate=unimodal_rate)
        sides = {self.risky: np.flatnonzero(usable & ~self.safe), "clip": np.flatnonzero(usable & self.safe)}
        planned = plan(config.seed, epoch, sides, optim.batch_size, own.order)
        if epoch <= self.before:
            ahead = {n: own.align_epochs * count_batches(len(side), optim.batch_size) for n, side in sides.items()}
            rate = own.align_rate or min(own.align_travel / ahead["clip"], optim.rate)
            schedules = {n: Schedule(rate, steps, constant=True) for n, steps in ahead.items()}
            return Epoch("align", planned, schedules)
        schedules = {
            self.risky: Schedule(unimodal_rate, self.steps[self.risky]),
            "clip": Schedule(optim.rate, self.steps["clip"]),
        }
        return Epoch("defend", planned, schedules)

    def loss(
        self, objective: str, image: list[Tensor], text: list[Tensor], scale: Tensor, rows: slice | None = None
    ) -> Tensor:
        if objective == "clip":
            return clip_objective_loss(image, text, scale, rows)
        of_image = unimodal_loss(image[-1], self.pools["image"].nearest(image[0]), scale, rows)
        of_text = unimodal_loss(text[-1], self.pools["text"].nearest(text[0]), scale, rows)
        return (of_image + of_text) / 2

    def observe(self, objective: str, uids: np.ndarray, image: list[Tensor], text: list[Tensor]) -> None:
        if objective != "clip":
            self.pools["image"].enqueue(image[0])
            self.pools["text"].enqueue(text[0])
        if self.running is not None:
            self.running.update(uids, image, text)

    def _bar(self, tools: Tools) -> State:
        """Before the first split: all pairs are safe that no veto is against."""
        usable = np.flatnonzero(tools.usable)
        allowed = self._allowed(self.vetoes.against(usable), usable)
        if allowed.sum() < 2:
            raise RunError(one_sided(0, len(usable), 0))
        out = usable[~allowed] if self.own.barred == "left out" else usable[:0]
        return _decision(self._these(usable[allowed]), self._these(out), self.share_first, self.steps)

    def _split(self, epoch: int, fresh: Embeddings | None, tools: Tools) -> State:
        """The safe set of this epoch, from scores of the model as it stands; where there are no fresh ones, from those
        of the steps."""
        own, t = self.own, epoch - self.before - 1
        scores = fresh if self.running is None else self.running.embeddings()
        assert scores is not None
        usable = np.flatnonzero(tools.usable)
        barred = self.vetoes.against(usable)
        allowed = self._allowed(barred, usable)
        if not allowed.any():
            raise RunError(one_sided(0, len(usable), 0))
        trained = allowed if own.barred == "left out" else np.ones(len(usable), bool)
        signals = self._signals(scores, usable[trained], tools.device)
        cosine = signals["cosine"]
        mixture = fit_mixture(cosine, own.fit)
        risk = risk_of({name: signals[name] for name in own.risk})
        first, clamped = self.share_first if self.share_first is not None else own.share_first, False
        if first is None:
            eligible = cosine[allowed[trained]]  # barred pairs lend their places to none below the cut
            first, _, clamped = first_share(mixture, eligible, own.posterior, own.share_min, own.share_max)
            if clamped:
                tools.note(f"first safe share clamped to {first:.3f} (safeclip.share_min..share_max)")
            first *= float(allowed.mean())  # from here on of all usable pairs
        order = -signals[own.risk[0]] if len(own.risk) == 1 else risk  # one signal needs no ranks to be put in order
        safe = safest(_spread(order, trained, np.inf), self._share(t, first, len(usable)), allowed)
        record: dict[str, Any] = {
            "epoch": epoch,
            "cut": float(cosine.min(where=safe[trained], initial=np.inf)),
            "safe_share": float(safe.mean()),
            "safe_count": int(safe.sum()),
            "means": mixture.means,
            "variances": mixture.variances,
            "weights": mixture.weights,
            "iterations": mixture.iterations,
            "clamped": clamped,
            "vetoed": int((~allowed).sum()),
            "vetoed_by": {name: int(out.sum()) for name, out in barred.items()},
        }
        p_safe = np.empty(len(cosine), np.float32)
        for part in parts(len(cosine)):
            p_safe[part] = upper_posterior(mixture, cosine[part])
        found = {"similarity": cosine, "p_safe": p_safe, "risk": risk}
        found |= {name: signal for name, signal in signals.items() if name != "cosine"}
        bits = np.zeros(len(usable), np.uint8)
        for i, out in enumerate(barred.values()):
            bits |= out.astype(np.uint8) << i
        columns = {"uid": usable, "safe": safe, "barred": bits}
        columns |= {k: _spread(v.astype(np.float32, copy=False), trained, np.nan) for k, v in found.items()}
        tools.record_split(record, columns | self.vetoes.columns(usable))
        steps = self.steps or self._phase_steps(first, len(usable), int(allowed.sum()))
        return _decision(self._these(usable[safe]), self._these(usable[~trained]), first, steps)

    def _share(self, t: int, first: float, pairs: int) -> float:
        """Safe share of defended epoch t, counted from 0; where it has grown, one pair at least stays risky."""
        share = share_at(t, first, self.own.growth, self.own.share_cap)
        return share if t == 0 else min(share, max(first, (pairs - 1) / pairs))

    def _allowed(self, barred: dict[str, np.ndarray], usable: np.ndarray) -> np.ndarray:
        """Bool (n,): pairs that no veto is against, nor was: one that was left out has no scores to be split by."""
        allowed: np.ndarray = ~self.left_out[usable]
        for out in barred.values():
            allowed &= ~out
        return allowed

    def _these(self, uids: np.ndarray) -> np.ndarray:
        """Bool (N,)."""
        of_all = np.zeros(self.pairs, bool)
        of_all[uids] = True
        return of_all

    def _signals(self, scores: Embeddings, uids: np.ndarray, device: torch.device) -> dict[str, np.ndarray]:
        """By name, float32 (n,) of these pairs, low where it is suspicious: the cosine, and those of the risk that
        compare pairs."""
        assert self.vetoes.groups is not None
        signals = {"cosine": scores.cosine.numpy()[uids]}
        for name in (name for name in self.own.risk if name in _COMPARING):
            sides = (scores.image, scores.text) if name == "neighbours" else (scores.text, scores.image)
            own = {"k": self.own.neighbours, "groups_N": self.vetoes.groups[uids], "rows_N": uids}
            signals[name] = neighbour_agreement(*sides, **own, device=device)
        return signals

    def _phase_steps(self, first: float, pairs: int, allowed: int) -> dict[str, int]:
        """Steps of each objective over all defended epochs, growth, cap and veto counted; one at least, for pairs may
        change sides later."""
        steps = {"clip": 0, self.risky: 0}
        trained = allowed if self.own.barred == "left out" else pairs
        for t in range(self.config.epochs - self.before):
            safe = min(round(self._share(t, first, pairs) * pairs), allowed)
            steps["clip"] += count_batches(safe, self.config.optim.batch_size)
            steps[self.risky] += count_batches(trained - safe, self.config.optim.batch_size)
        return {objective: max(count, 1) for objective, count in steps.items()}

    def state_dict(self) -> State:
        state = _decision(self.safe, self.left_out, self.share_first, self.steps)
        state.tensors |= self.vetoes.state().tensors
        own: dict[str, Any] = {f"pool.{name}": pool for name, pool in self.pools.items()}
        if self.running is not None:
            own["running"] = self.running
        for name, part in own.items():
            state.tensors |= {f"{name}.{key}": value for key, value in part.state_dict().items()}
        return state

    def load_state_dict(self, state: State) -> None:
        self._take(state)
        self.vetoes.load_state(state)
        for name, pool in self.pools.items():
            pool.load_state_dict(_under(state.tensors, f"pool.{name}."))
        if self.running is not None:
            self.running.load_state_dict(_under(state.tensors, "running."))

    def _take(self, decision: State) -> None:
        masks = (unpack(decision.tensors[name].numpy(), self.pairs) for name in ("safe_bits", "left_out_bits"))
        self.safe, self.left_out = masks
        self.share_first, self.steps = decision.values["share_first"], dict(decision.values["steps"])


def _decision(safe_N: np.ndarray, left_out_N: np.ndarray, share_first: float | None, steps: dict[str, int]) -> State:
    """What a split decides: the safe set, the pairs that have no part in training, and once in a run its first share
    and the steps to come."""
    masks = {"safe_bits": safe_N, "left_out_bits": left_out_N}
    values = {"share_first": share_first, "steps": steps}
    return State({name: torch.from_numpy(pack(mask_N)) for name, mask_N in masks.items()}, values)


def _spread(values_M: np.ndarray, trained_N: np.ndarray, else_: float) -> np.ndarray:
    """(N,): what was found of the pairs trained on, and `else_` of the others."""
    if len(values_M) == len(trained_N):
        return values_M
    of_all = np.full(len(trained_N), else_, values_M.dtype)
    of_all[trained_N] = values_M
    return of_all


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
