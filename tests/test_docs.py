"""The pages are correct: examples run, commands, options, settings, files and headings exist, and the site builds."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from trimtab.cli import app
from trimtab.cli.catalog import describe_catalog_entry
from trimtab.config.study import Study
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component, build_component, dump_component
from trimtab.core.component_loading import list_kinds
from trimtab.core.interfaces import Annotator
from trimtab.core.settings_schema import describe_settings
from trimtab.models.config import Model
from trimtab.pipeline.plan import build_plan
from trimtab.types import Pair, build_user_prompt

sys.path[:0] = [str(Path(__file__).parents[1] / "tools"), str(Path(__file__).parent / "report")]
import settings_tables  # noqa: E402 - tools/ is not a package
from chromium import chromium, needs_chromium  # noqa: E402

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SKILL = ROOT / "src" / "trimtab" / ".agents" / "skills" / "trimtab" / "SKILL.md"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "studies/README.md")),
    SKILL,
    *sorted(DOCS.rglob("*.md")),
]
COMMANDS: dict[str, click.Command] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
WIDEST = 128
# The study that a YAML block is merged into. A block with only `weak` and `student` is a block of `models`.
BASE = {
    "name": "base",
    "data": {"kind": "starter"},
    "models": {"weak": "smollm2-135m-instruct", "student": "gemma3-270m"},
}
EXAMPLE = DOCS / "internals" / "add-an-annotator.md"
REFERENCE = DOCS / "reference"
ON_TOPIC, OFF_TOPIC = "The capital of France is Paris.", "Blue."
PAIR = Pair.from_responses(build_user_prompt("What is the capital of France?"), ON_TOPIC, OFF_TOPIC)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    """The page's blocks of code in a language, or in none."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for name, text in fenced if name == language]


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def code_spans(page: Path) -> list[str]:
    """Text in backticks, and the lines of blocks without a language. Lines that end in a backslash are joined."""
    lines = [line for block in blocks(page, "") for line in block.replace("\\\n", " ").splitlines()]
    return [*lines, *(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page)))]


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """Every command on the page, with its arguments."""
    shown = (
        match
        for text in code_spans(page)
        for match in re.finditer(r"(?<!from )\btrimtab ([a-z]+(?:-[a-z]+)*)\b([^;#]*)", text)
    )
    return [(match[1], match[2].split()) for match in shown]


def options(names: Sequence[str]) -> set[str]:
    """The options that these commands accept."""
    params = [param for name in names for param in COMMANDS[name].params]
    return {"--help", *(option for param in params for option in (*param.opts, *param.secondary_opts))}


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Makes the page's module importable; returns the page's study."""
    (module,), (study,) = blocks(EXAMPLE, "python"), blocks(EXAMPLE, "yaml")
    (tmp_path / "my_module.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield study
    sys.modules.pop("my_module", None)


def test_the_annotator_on_the_page_labels_pairs(example: str) -> None:
    mine = build_component("annotators", {"kind": "my_module:Mine", "prior": 0.5})
    assert isinstance(mine, Annotator)
    (label,) = mine.annotate([PAIR], AnnotatorInputs())
    # what, is, the, capital, of, france against the, capital, of, france, is, paris: 5 in common, and none: 5.5 / 6
    share = 5.5 / 6
    assert label.p_a == pytest.approx(share if PAIR.a == ON_TOPIC else 1 - share)
    assert label.margin == (5 if PAIR.a == ON_TOPIC else -5)
    (tie,) = mine.annotate(
        [Pair.from_responses(build_user_prompt("Name a color."), "Blue.", "Seven.")], AnnotatorInputs()
    )
    assert tie.status == "abstained"


def test_the_annotator_on_the_page_meets_the_contract(example: str) -> None:
    mine = build_component("annotators", "my_module:Mine")
    assert isinstance(mine, Annotator)
    assert isinstance(mine, Component)
    turned = Pair(id=PAIR.id, prompt=PAIR.prompt, a=PAIR.b, b=PAIR.a)
    (there,), (back,) = mine.annotate([PAIR], AnnotatorInputs()), mine.annotate([turned], AnnotatorInputs())
    assert there.p_a is not None
    assert back.p_a == pytest.approx(1 - there.p_a)
    assert build_component("annotators", dump_component(mine)) == mine


def test_the_study_on_the_page_plans_its_annotator(example: str) -> None:
    plan = build_plan(Study.parse(example))
    (row,) = [arm for arm in plan.rows if arm.name == "words"]
    assert row.labels is not None
    assert row.labels.settings == {"annotator": {"kind": "my_module:Mine", "prior": 0.5}}


def test_the_study_of_the_readme_can_be_read() -> None:
    (text,) = blocks(ROOT / "README.md", "yaml")
    assert list(Study.parse(text).arms) == ["longer"]


@each_page
def test_every_yaml_block_on_a_page_is_valid(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "yaml"):
        if "my_module:" in block:  # the page's own module, which other tests load
            continue
        settings = yaml.safe_load(block.replace("0123…", "0a" * 32))
        if "extends" in settings:
            for name in [settings["extends"]] if isinstance(settings["extends"], str) else settings["extends"]:
                (tmp_path / name).write_text(yaml.safe_dump(BASE))
            (tmp_path / "study.yaml").write_text(block)
            assert Study.load_variants(tmp_path / "study.yaml")
            continue
        if "variables" in settings:
            (tmp_path / "study.yaml").write_text(yaml.safe_dump({**BASE, **settings}))
            assert Study.load_variants(tmp_path / "study.yaml")
            continue
        only_models = set(settings) <= {"weak", "student"}
        study = {**BASE, **({"models": {**BASE["models"], **settings}} if only_models else settings)}  # type: ignore[dict-item]
        assert Study.parse(yaml.safe_dump(study)).name == study["name"]


@each_page
def test_every_name_that_python_on_a_page_imports_exists(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("trimtab"):
                for name in node.names:
                    module = importlib.import_module(node.module)
                    assert hasattr(module, name.name) or importlib.import_module(f"{node.module}.{name.name}")


@each_page
def test_every_command_on_a_page_exists_and_accepts_its_options(page: Path) -> None:
    shown = commands(page)
    assert {name for name, _ in shown} <= set(COMMANDS)
    given = [(name, word) for name, words in shown for word in words if re.match(r"--?[a-z]", word)]
    assert [each for each in given if each[1] not in options([each[0]])] == []


@each_page
def test_every_option_on_a_page_exists(page: Path) -> None:
    alone = {text.split()[0] for text in code_spans(page) if text.startswith("--")}
    assert alone - options(list(COMMANDS)) - {"--version"} == set()


@each_page
def test_every_kind_that_a_command_on_a_page_names_exists(page: Path) -> None:
    for name, words in commands(page):
        small = [word for word in words if re.fullmatch("[a-z_]+", word)]
        if name == "list" and len(small) == len(words) == 2:
            assert describe_catalog_entry(*words).text
        if "--annotator" in words and (kind := words[words.index("--annotator") + 1]).islower():
            assert kind in list_kinds("annotators")


def test_the_readme_lists_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`trimtab {name}" in text for name in COMMANDS)


def test_the_skill_file_has_a_name_and_a_description_and_names_the_main_commands() -> None:
    _, head, _ = SKILL.read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(head).keys() == {"name", "description"}
    shown = {name for name, _ in commands(SKILL)}
    assert {"quickstart", "new", "plan", "run", "annotate", "audit", "label", "sample", "export", "doctor"} <= shown
    assert CliRunner().invoke(app, ["skill"]).output == SKILL.read_text(encoding="utf-8")


def test_every_message_that_the_skill_file_explains_exists() -> None:
    rows = re.findall(r"^\| (`.*?) \|", SKILL.read_text(encoding="utf-8").partition("## Errors")[2], re.MULTILINE)
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "trimtab").rglob("*.py"))
    assert len(messages) > 8
    assert [message for message in messages if message not in re.sub(r'"\s+f?"', "", source)] == []


@each_page
def test_every_link_has_a_target(page: Path) -> None:
    wrong = []
    for link in re.findall(r"\]\((?!https?://)([^)\s]+)\)", prose(page)):
        file, _, anchor = link.partition("#")
        to = page.parent / file if file else page
        if not to.exists() or (anchor and anchor not in slugs(to)):
            wrong.append(link)
    assert wrong == []


@each_page
def test_no_line_of_prose_is_too_wide(page: Path) -> None:
    lines = [line for line in prose(page).splitlines() if not line.startswith(("|", "!["))]
    assert [line for line in lines if len(line) > WIDEST] == []


BLOCKS = sorted(settings_tables.settings_classes().values(), key=lambda cls: cls.__name__)


@pytest.mark.parametrize("cls", BLOCKS, ids=lambda cls: cls.__name__)
def test_the_studies_page_has_the_settings_tables(cls: type[BaseModel]) -> None:
    text = settings_tables.PAGE.read_text(encoding="utf-8")
    assert f"<!-- settings: {cls.__name__} -->\n{settings_tables.render_table(cls)}" in text, "run: make reference"


def test_every_setting_of_a_study_has_a_description() -> None:
    silent = [f"{cls.__name__}.{s.name}" for cls in BLOCKS for s in describe_settings(cls) if not s.description]
    assert silent == []


def test_the_models_page_has_every_setting() -> None:
    text = (REFERENCE / "models.md").read_text(encoding="utf-8")
    assert [name for name in Model.model_fields if name != "base" and f"\n| `{name}` |" not in text] == []


@pytest.mark.parametrize(
    ("package", "page"),
    [
        ("annotators", "annotators.md"),
        ("filters", "filters.md"),
        ("engines", "engines.md"),
        ("sources", "data-formats.md"),
        ("judges", "judges.md"),
        ("scorers", "metrics.md"),
    ],
)
def test_every_built_in_kind_is_on_its_page(package: str, page: str) -> None:
    text = " ".join((REFERENCE / page).read_text(encoding="utf-8").split())
    assert [kind for kind in list_kinds(package) if not re.search(rf"(`|kind: ){kind}\b", text)] == []


def test_every_make_target_on_a_page_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert named
    assert named <= targets


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation site, built from a copy. The build fails on a broken link."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("docs", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "zensical.toml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "site"


def test_the_site_has_every_page_and_the_api_reference(site: Path) -> None:
    pages = {str(page.relative_to(DOCS).with_suffix(".html")) for page in DOCS.rglob("*.md")}
    assert [page for page in pages - {"results/README.html"} if not (site / page).is_file()] == []
    assert "annotate" in (site / "reference" / "python-api.html").read_text(encoding="utf-8")


@needs_chromium
def test_the_site_can_be_searched_from_disk_without_a_network(site: Path, tmp_path: Path) -> None:
    with chromium(tmp_path) as page:
        page.open(site / "index.html", 1200)
        for kind in ("keyDown", "keyUp"):
            key = {"key": "k", "code": "KeyK", "windowsVirtualKeyCode": 75, "modifiers": 2}
            page.send("Input.dispatchKeyEvent", type=kind, **key)
        page.wait_for("document.activeElement.tagName == 'INPUT' || document.activeElement.shadowRoot != null")
        page.send("Input.insertText", text="implicit reward")
        found = "[document, ...[...document.querySelectorAll('*')].map(e => e.shadowRoot).filter(Boolean)]"
        page.wait_for(f"{found}.some(root => /[0-9]+ results/.test((root.body ?? root).textContent))")
        assert page.errors == []


def test_every_page_is_in_the_navigation() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))

    def pages(entries: Any) -> Iterator[str]:
        for entry in entries:
            for value in entry.values():
                yield from [value] if isinstance(value, str) else pages(value)

    assert sorted(pages(config["project"]["nav"])) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))
