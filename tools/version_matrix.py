"""Tests Trimtab on each Python that pyproject.toml names, with the oldest and with the newest dependencies that it allows.

    python tools/version_matrix.py [--pythons 3.12 PATH] [--dependencies oldest newest] [--workers 2] [--uv PATH] [--tests PATH]

`--pythons` takes versions and paths of interpreters; a Python that is not on this machine is skipped. The environments are
folders in build/matrix, each with a list of its packages and the output of its tests, and a second run updates them. uv's own
configuration says where packages come from. Prints a table of what passed. The exit status is 1 if a test failed or none ran.

The oldest dependencies are the lowest versions that pyproject.toml allows and that have a wheel for this Python, with the
newest versions of what they need in turn. Warnings are not errors here: old releases warn about new versions of Python.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "matrix"
RESOLUTIONS = {"oldest": "lowest-direct", "newest": "highest"}
# The packages whose versions the table shows.
SHOWN = ("torch", "transformers", "datasets", "peft", "numpy", "pandas", "pydantic")
# The tests of code that calls other packages: it reads and writes files, loads and trains models, fits, and prints.
TESTS = (
    *("test_api.py", "cli", "config", "core", "data", "engines", "models", "scorers", "sources", "storage", "training"),
    *(
        "annotators/test_probe.py",
        "pipeline/test_executor.py",
        "report/test_report_html.py",
        "stats/test_statistics.py",
    ),
)


class Row(NamedTuple):
    """A line of the table: how the tests ended with one Python and one set of dependencies."""

    python: str
    dependencies: str
    passed: str = "-"
    failed: str = "-"
    skipped: str = "-"
    versions: str = ""


class SetupError(Exception):
    """An environment could not be made; the message is the end of what uv printed."""


def list_supported() -> list[str]:
    """The versions in the classifiers of pyproject.toml, such as 3.12."""
    return re.findall(
        r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    )


def run_uv(uv: str, *arguments: str | Path) -> str:
    done = subprocess.run([uv, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"uv {arguments[0]} {arguments[1]}: {done.stderr.strip()[-1500:]}")
    return done.stdout.strip()


def make_environment(uv: str, python: str, folder: Path, resolution: str) -> None:
    """Creates or updates an environment with Trimtab in it. `python` is the path of an interpreter."""
    packages = folder / "packages.txt"
    run_uv(uv, "venv", "--quiet", "--seed", "--allow-existing", "--python", python, folder)
    run_uv(
        uv, "pip", "compile", "--quiet", "--no-build", "--upgrade", "--no-annotate", "--no-header", "--extra", "dev",
        "--python", python, "--resolution", resolution, "--output-file", packages, "pyproject.toml",
    )  # fmt: skip
    run_uv(uv, "pip", "sync", "--quiet", "--no-build", "--python", folder, packages)
    run_uv(uv, "pip", "install", "--quiet", "--no-deps", "--python", folder, "--editable", ".")


def count_tests(folder: Path, workers: int, tests: Sequence[str]) -> tuple[str, str, str]:
    """Runs the tests in an environment, and returns how many passed, failed and were skipped."""
    results, output = folder / "results.xml", folder / "output.txt"
    results.unlink(missing_ok=True)
    command = [
        str(folder / "bin" / "python"), "-m", "pytest", "-q", "-m", "not slow", "--numprocesses", str(workers),
        "--override-ini", "filterwarnings=default", "--junit-xml", str(results),
        *tests,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    with output.open("wb") as log:
        subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    if not results.exists():
        raise SetupError(f"pytest did not start; see {output.relative_to(ROOT)}")
    suite = ElementTree.parse(results).getroot()[0]  # noqa: S314 - written by pytest just now
    total, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    return str(total - failed - skipped), str(failed), str(skipped)


def test_environment(uv: str, wanted: str, dependencies: str, workers: int, tests: Sequence[str]) -> Row:
    try:
        python = run_uv(uv, "python", "find", "--system", "--no-project", "--no-python-downloads", wanted)
    except SetupError:
        return Row(wanted, dependencies, versions="not on this machine")
    version = run_uv(uv, "python", "find", "--system", "--no-project", "--show-version", python)
    folder = FOLDER / f"{version}-{dependencies}"
    try:
        make_environment(uv, python, folder, RESOLUTIONS[dependencies])
        counts = count_tests(folder, workers, tests)
    except SetupError as error:
        return Row(version, dependencies, failed="all", versions=str(error))
    found = dict(line.split("==") for line in (folder / "packages.txt").read_text(encoding="utf-8").splitlines())
    return Row(version, dependencies, *counts, ", ".join(f"{name} {found[name]}" for name in SHOWN))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", nargs="+", default=list_supported())
    parser.add_argument("--dependencies", nargs="+", choices=RESOLUTIONS, default=list(RESOLUTIONS))
    parser.add_argument("--tests", nargs="+", default=[f"tests/{name}" for name in TESTS])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--uv", default="uv")
    options = parser.parse_args()
    rows = []
    print(
        f"{datetime.now(UTC):%Y-%m-%d}\n\n| " + " | ".join(Row._fields) + " |\n" + "|---" * len(Row._fields) + "|",
        flush=True,
    )
    for python in options.pythons:
        for dependencies in options.dependencies:
            rows.append(test_environment(options.uv, python, dependencies, options.workers, options.tests))
            print("| " + " | ".join(rows[-1]) + " |", flush=True)
    return 0 if any(row.passed != "-" for row in rows) and all(row.failed in ("0", "-") for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
