"""The house stands: imports point down, importing is light, files and functions are short, effects stay at the rim."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "trimtab"
FILES = sorted(SOURCE.rglob("*.py"))

# From the top. A layer may import every layer below it and, but for the command line, nothing beside it. How a model is
# trained is plain settings, which what trains and what asks for training both read.
LAYERS = (
    ("__init__", "__main__", "cli", "console"),
    ("audit", "catalog", "export", "forecast", "labeling", "report"),
    ("lent",),
    ("run",),
    ("plan",),
    ("studies", "study"),
    ("stages",),
    ("kept",),
    ("store",),
    ("annotators", "data", "engines", "evaluation", "filters", "training"),
    ("calibration",),
    ("lm", "prompts", "starter", "statistics", "training.settings"),
    ("described", "protocols"),
    ("components",),
    ("errors", "types"),
)
DEPTH = {part: depth for depth, layer in enumerate(LAYERS) for part in layer}

HEAVY = ("torch", "transformers", "datasets", "matplotlib")
LIGHT = ("trimtab", "trimtab.cli", "trimtab.pipeline.plan", "trimtab.report.collect.report")
# Training writes its checkpoints and its log beside them; everything else in a run is written by the store and
# what lies on it.
RIM = ("cli", "console", "data", "kept", "lm", "store", "training")
LONGEST_FILE = 350
LONGEST_FUNCTION = 59


def part_named(module: str) -> str:
    """The part of the package that a module's dotted name, without the package's own, belongs to."""
    names = module.split(".")
    two = ".".join(names[:2])
    return two if two in DEPTH else names[0]


def part_of(path: Path) -> str:
    return part_named(".".join(path.relative_to(SOURCE).with_suffix("").parts))


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and part of every import of our own that is carried out, wherever it stands."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "a relative import"
        elif isinstance(node, ast.ImportFrom) and node.module == "trimtab":
            yield from ((node.lineno, name.name if name.name in DEPTH else "__init__") for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("trimtab."):
            yield node.lineno, part_named(node.module.removeprefix("trimtab."))
        elif isinstance(node, ast.Import):
            ours = [name.name.partition(".") for name in node.names]
            yield from ((node.lineno, part_named(rest or "__init__")) for top, _, rest in ours if top == "trimtab")
        else:
            yield from imports(node)


def points_down(part: str, imported: str) -> bool:
    top = DEPTH[part] == 0
    return part == imported or DEPTH[part] < DEPTH[imported] or (top and imported in LAYERS[0][1:])


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_every_part_of_the_package_has_a_layer() -> None:
    assert {part_of(path) for path in FILES} <= set(DEPTH)


def test_every_import_points_down() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)}:{line}: {part_of(path)} imports {imported}"
        for path in FILES
        for line, imported in imports(parsed(path))
        if imported not in DEPTH or not points_down(part_of(path), imported)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from trimtab.pipeline.executor import run", ["run"]),
        ("from trimtab import statistics, Pair", ["statistics", "__init__"]),
        ("import trimtab.models.packing.pair_batch, os, trimtab", ["lm", "__init__"]),
        ("from trimtab.config.training import Dpo", ["training.settings"]),
        ("from trimtab.training.trainer import train", ["training"]),
        ("def late():\n    from trimtab.cli import app", ["cli"]),
        ("if TYPE_CHECKING:\n    from trimtab.cli import app", []),
        ("from ..cli import app", ["a relative import"]),
    ],
)
def test_no_way_of_importing_goes_unseen(text: str, found: list[str]) -> None:
    assert [part for _, part in imports(ast.parse(text))] == found


@pytest.mark.parametrize(
    ("part", "imported", "down"),
    [
        ("cli", "study", True),
        ("cli", "console", True),
        ("store", "stages", False),
        ("annotators", "data", False),
        ("evaluation", "training.settings", True),
        ("evaluation", "training", False),
        ("training.settings", "training", False),
        ("report", "forecast", False),
        ("lm", "lm", True),
        ("data", "__init__", False),
    ],
)
def test_an_arrow_that_points_up_or_beside_is_seen(part: str, imported: str, down: bool) -> None:
    assert points_down(part, imported) is down


def test_importing_the_command_line_the_plan_and_the_report_loads_nothing_heavy() -> None:
    code = f"import sys, {', '.join(LIGHT)}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_no_file_is_longer_than_a_few_screens() -> None:
    lengths = {str(path.relative_to(SOURCE)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    functions = [
        (f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [name for name, length in functions if length > LONGEST_FUNCTION] == []


def test_only_the_rim_prints_and_opens_files() -> None:
    calls = [
        (path, node)
        for path in FILES
        if part_of(path) not in RIM
        for node in ast.walk(parsed(path))
        if _is_effect(node)
    ]
    assert [f"{path.relative_to(SOURCE)}:{node.lineno}" for path, node in calls if isinstance(node, ast.Call)] == []


def _is_effect(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    return name in {"print", "open"}
