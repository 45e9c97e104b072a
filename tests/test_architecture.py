"""Imports point down, importing is light, files and functions are short, effects stay at the boundary, and each public
name has one meaning."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "trimtab"
FILES = sorted(SOURCE.rglob("*.py"))

# From the top. A layer may import every layer below it and nothing beside it.
LAYERS = (
    ("__init__", "__main__", "api", "cli"),
    ("labeling",),
    ("report", "workflows"),
    ("pipeline",),
    ("annotators", "engines", "filters", "judges", "scorers", "sources", "training"),
    ("config",),
    ("data", "metrics", "models", "prompts", "starter"),
    ("stats", "storage"),
    ("core",),
    ("errors", "types"),
)
DEPTH = {part: depth for depth, layer in enumerate(LAYERS) for part in layer}

HEAVY = ("torch", "transformers", "datasets", "matplotlib", "pandas", "scipy", "sklearn")
LIGHT = ("trimtab", "trimtab.cli", "trimtab.pipeline.plan", "trimtab.report.collect.report")
# Training writes its checkpoints and their log; everything else in a run is written by the store and what is built on it.
EFFECTS_ALLOWED = ("cli", "data", "models", "sources", "storage", "training")
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 59


def part_named(module: str) -> str:
    """The top-level part of the package that contains a module, given its dotted name without `trimtab.`."""
    return module.partition(".")[0]


def part_of(path: Path) -> str:
    return part_named(".".join(path.relative_to(SOURCE).with_suffix("").parts))


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and part of every import of Trimtab's own modules that runs, at any depth of the tree."""
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
            names = [name.name.partition(".") for name in node.names]
            yield from ((node.lineno, part_named(rest or "__init__")) for top, _, rest in names if top == "trimtab")
        else:
            yield from imports(node)


def points_down(part: str, imported: str) -> bool:
    """Whether `part` may import `imported`. The command line and the package itself may import each other's layer."""
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
        ("from trimtab.pipeline.executor import run_study", ["pipeline"]),
        ("from trimtab import stats, Pair", ["stats", "__init__"]),
        ("import trimtab.models.config, os, trimtab", ["models", "__init__"]),
        ("from trimtab.config.training import DpoSettings", ["config"]),
        ("def late():\n    from trimtab.cli import app", ["cli"]),
        ("if TYPE_CHECKING:\n    from trimtab.cli import app", []),
        ("from ..cli import app", ["a relative import"]),
    ],
)
def test_every_form_of_import_is_detected(text: str, found: list[str]) -> None:
    assert [part for _, part in imports(ast.parse(text))] == found


@pytest.mark.parametrize(
    ("part", "imported", "down"),
    [
        ("cli", "config", True),
        ("storage", "pipeline", False),
        ("annotators", "sources", False),
        ("scorers", "config", True),
        ("scorers", "training", False),
        ("config", "training", False),
        ("report", "workflows", False),
        ("models", "models", True),
        ("data", "__init__", False),
    ],
)
def test_an_import_that_points_up_or_sideways_is_detected(part: str, imported: str, down: bool) -> None:
    assert points_down(part, imported) is down


def test_importing_the_command_line_the_plan_and_the_report_loads_nothing_heavy() -> None:
    code = f"import sys, {', '.join(LIGHT)}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_no_file_is_too_long() -> None:
    lengths = {str(path.relative_to(SOURCE)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    functions = [
        (f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [name for name, length in functions if length > MAX_FUNCTION_LINES] == []


def test_only_the_boundary_prints_and_opens_files() -> None:
    calls = [
        (path, node)
        for path in FILES
        if part_of(path) not in EFFECTS_ALLOWED
        for node in ast.walk(parsed(path))
        if _is_effect(node)
    ]
    assert [f"{path.relative_to(SOURCE)}:{node.lineno}" for path, node in calls if isinstance(node, ast.Call)] == []


def _is_effect(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    return name in {"print", "open"}


def public_names(tree: ast.Module) -> Iterator[str]:
    """The functions, classes and constants that a module defines at its top level."""
    for node in tree.body:
        names: list[str] = []
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            # a command is named for the function of the Python API that does the same
            is_command = any(".command" in ast.unparse(decorator) for decorator in node.decorator_list)
            names = [] if is_command else [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        yield from (name for name in names if not name.startswith("_"))


# A component's class is named for its kind, and a kind may exist in two packages (`reward_model` annotates and scores).
COMPONENT_PACKAGES = ("annotators", "engines", "filters", "judges", "scorers", "sources")


def is_component_class(path: Path, name: str) -> bool:
    kind = path.parent.name if path.stem == "__init__" else path.stem
    return part_of(path) in COMPONENT_PACKAGES and name.lower() == kind.replace("_", "")


def test_a_public_name_has_one_meaning() -> None:
    defined: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        for name in public_names(parsed(path)):
            if len(name) > 1 and not is_component_class(path, name):  # one letter is a type variable
                defined[name].add(str(path.relative_to(SOURCE)))
    assert {name: sorted(places) for name, places in defined.items() if len(places) > 1} == {}
