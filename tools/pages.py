"""What the tools that write docs have in common: a table in Markdown, and its place between two markers of a page."""

from __future__ import annotations

from collections.abc import Sequence


def put(file: str, page: str, name: str, tool: str, made: str) -> str:
    """The page with what was made between the markers of that name. file: its name; tool: the script that writes it.
    Raises ValueError where a marker is missing."""
    begin, end = f"<!-- {name}: written by tools/{tool} -->", f"<!-- end of {name} -->"
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{file}: lacks the line {end if found else begin}")
    return f"{before}{begin}\n{made}\n{end}{after}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
