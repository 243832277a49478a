"""The page of a run or of a demo: one file that opens offline."""

from safeclip.report.page import write_report

__all__ = ["write_report"]
