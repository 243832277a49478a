"""Scores -> mixture -> safe mask -> growth (paper, section 4; docs/method.md).

    p(c) = w_lo N(c; m_lo, v_lo) + w_hi N(c; m_hi, v_hi),  m_lo <= m_hi         fitted by EM to the pairs' cosines
    first split:  safe = { c >= cut },  cut = lowest c >= m_lo at which P(hi | c) >= posterior
    later:        safe = the round(share_t * N) pairs of least risk,  share_t = share_0 + growth * t, capped

What must stay true: the first split is monotone in the score; and nothing here costs more than arrays of numbers. Every
pass walks the scores in parts (in_parts.py), so that they may as well be a file mapped into memory: 400 million cosines
are split in seconds (bench/split.py).
"""

from safeclip.split.bits import pack, unpack
from safeclip.split.in_parts import parts
from safeclip.split.least import kth_least
from safeclip.split.mixture import (
    BINS,
    Mixture,
    cut_at,
    fit_histogram,
    fit_mixture,
    histogram,
    upper_posterior,
)
from safeclip.split.risk import risk_of
from safeclip.split.share import first_share, one_sided, safest, share_at

__all__ = [
    "BINS",
    "Mixture",
    "cut_at",
    "first_share",
    "fit_histogram",
    "fit_mixture",
    "histogram",
    "kth_least",
    "one_sided",
    "pack",
    "parts",
    "risk_of",
    "safest",
    "share_at",
    "unpack",
    "upper_posterior",
]
