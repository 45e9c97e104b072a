"""Writes a notebook next to each page in docs/notebooks/: `python tools/notebooks.py`. Needs no package.

Blocks of Python become code cells, the text between them Markdown cells. Notebooks have no outputs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
_CODE = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def list_code(page: str) -> list[str]:
    """The code cells of a page, in order."""
    return [source for kind, source in _split_cells(page) if kind == "code"]


def build_notebook(page: str) -> str:
    """The notebook of a page, as a file in nbformat 4.5."""
    cells = [_build_cell(number, kind, source) for number, (kind, source) in enumerate(_split_cells(page), start=1)]
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    document = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _split_cells(page: str) -> Iterator[tuple[str, str]]:
    end = 0
    for match in _CODE.finditer(page):
        if text := page[end : match.start()].strip():
            yield "markdown", text
        yield "code", match[1].rstrip("\n")
        end = match.end()
    if text := page[end:].strip():
        yield "markdown", text


def _build_cell(number: int, kind: str, source: str) -> dict[str, Any]:
    cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source.splitlines(keepends=True)}
    return {**cell, "execution_count": None, "outputs": []} if kind == "code" else cell


def main() -> None:
    for page in sorted(FOLDER.glob("*.md")):
        page.with_suffix(".ipynb").write_text(build_notebook(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
