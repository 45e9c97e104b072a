"""What the pages show works: examples are run, and commands, settings and files that they name exist."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
import yaml

from trimtab.cli import app
from trimtab.components import Component, build, dump
from trimtab.plan import unfold
from trimtab.protocols import Annotator, Given
from trimtab.study import Study
from trimtab.types import Pair, user

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE = ROOT / "docs" / "add-an-annotator.md"
ON_TOPIC, OFF_TOPIC = "The capital of France is Paris.", "Blue."
PAIR = Pair.of(user("What is the capital of France?"), ON_TOPIC, OFF_TOPIC)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page's own module where Python finds it, and the page's study."""
    (module,), (study,) = blocks(EXAMPLE, "python"), blocks(EXAMPLE, "yaml")
    (tmp_path / "my_module.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield study
    sys.modules.pop("my_module", None)


def test_the_annotator_on_the_page_labels_pairs(example: str) -> None:
    mine = build("annotators", {"kind": "my_module:Mine", "prior": 0.5})
    assert isinstance(mine, Annotator)
    (label,) = mine.annotate([PAIR], Given())
    # what, is, the, capital, of, france against the, capital, of, france, is, paris: 5 in common, and none: 5.5 / 6
    share = 5.5 / 6
    assert label.p_a == pytest.approx(share if PAIR.a == ON_TOPIC else 1 - share)
    assert label.margin == (5 if PAIR.a == ON_TOPIC else -5)
    (tie,) = mine.annotate([Pair.of(user("Name a color."), "Blue.", "Seven.")], Given())
    assert tie.status == "abstained"


def test_the_annotator_on_the_page_keeps_its_promises(example: str) -> None:
    mine = build("annotators", "my_module:Mine")
    assert isinstance(mine, Annotator)
    assert isinstance(mine, Component)
    turned = Pair(id=PAIR.id, prompt=PAIR.prompt, a=PAIR.b, b=PAIR.a)
    (there,), (back,) = mine.annotate([PAIR], Given()), mine.annotate([turned], Given())
    assert there.p_a is not None
    assert back.p_a == pytest.approx(1 - there.p_a)
    assert build("annotators", dump(mine)) == mine


def test_the_study_on_the_page_unfolds_with_the_annotator_in_it(example: str) -> None:
    plan = unfold(Study.parse(example))
    (row,) = [arm for arm in plan.arms if arm.name == "words"]
    assert row.labels is not None
    assert row.labels.settings == {"annotator": {"kind": "my_module:Mine", "prior": 0.5}}


def test_the_study_of_the_readme_can_be_read() -> None:
    (text,) = blocks(ROOT / "README.md", "yaml")
    assert list(Study.parse(text).arms) == ["longest"]


@each_page
def test_every_yaml_on_a_page_can_be_read(page: Path) -> None:
    assert all(yaml.safe_load(block) for block in blocks(page, "yaml"))


@each_page
def test_every_command_on_a_page_exists(page: Path) -> None:
    named = set(re.findall(r"`trimtab ([a-z]+)", page.read_text(encoding="utf-8")))
    assert named <= set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_every_command_stands_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`trimtab {name}" in text for name in typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@each_page
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_make_target_on_a_page_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert named
    assert named <= targets
