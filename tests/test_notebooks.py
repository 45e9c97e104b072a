"""The notebooks run offline, and are in step with their pages."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import notebooks  # tools/ is not a package

PAGES = sorted(notebooks.FOLDER.glob("*.md"))
MODEL = '"smollm2-135m-instruct"'
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """An empty module that the cells of a notebook run in, as they do in `__main__`."""
    module = ModuleType("notebook_cells")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_there_are_three_pages() -> None:
    assert len(PAGES) == 3


@each_page
def test_every_notebook_has_the_cells_of_its_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    notebook = page.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert notebook == notebooks.build_notebook(text), "run: make reference"
    cells = json.loads(notebook)["cells"]
    assert "".join(cells[0]["source"]).startswith("# ")
    assert [cell["id"] for cell in cells] == [f"cell-{number}" for number in range(1, len(cells) + 1)]


@each_page
def test_every_notebook_runs_offline(
    page: Path,
    module: ModuleType,
    finished_run: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a tiny model in place of the built-in one, and the run of the tiny study as the quickstart's."""
    import torch

    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.copytree(finished_run, tmp_path / "runs" / "quickstart")
    for code in notebooks.list_code(page.read_text(encoding="utf-8")):
        exec(compile(code.replace(MODEL, repr(str(tiny_model))), page.name, "exec"), module.__dict__)  # noqa: S102
