"""Slow literal versions: each formula of PAPER.md and DESIGN.md section 4 as plain loops. The fast code must match."""
