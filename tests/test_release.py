"""The wheel holds everything that the commands need, and a release is checked, attested and needs no stored secret."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
sys.path.insert(0, str(ROOT / "tools"))
import check_release  # noqa: E402 - tools/ is not a package
import readme_links  # noqa: E402

NOT_IN_A_WHEEL = ("__pycache__", ".pyc")
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
PROJECT = '[project]\nversion = "1.2.0"\n'
CITATION = "cff-version: 1.2.0\nversion: 1.2.0\n"
CHANGELOG = "## [1.2.0] - 2026-12-01\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the contents of the wheel, far from the source tree."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_python(installed: Path, folder: Path, code: str) -> str:
    """The output of code that imports the package of the wheel, in another folder."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if not name.startswith("trimtab-")}
    found = {path.relative_to(SOURCE).as_posix() for path in (SOURCE / "trimtab").rglob("*") if path.is_file()}
    expected = {name for name in found if not any(part in name for part in NOT_IN_A_WHEEL)}
    assert packed == expected
    assert {Path(name).suffix for name in expected} >= {".py", ".typed", ".yaml", ".j2", ".css", ".js"}


def test_the_wheel_has_the_license_the_command_and_the_extras(installed: Path) -> None:
    (info,) = installed.glob("trimtab-*.dist-info")
    assert (info / "licenses" / "LICENSE").is_file()
    assert "trimtab = trimtab.cli:main" in (info / "entry_points.txt").read_text(encoding="utf-8")
    metadata = (info / "METADATA").read_text(encoding="utf-8").splitlines()
    assert {"License-Expression: Apache-2.0", "Provides-Extra: openai", "Provides-Extra: vllm"} <= set(metadata)


USE_EVERY_DATA_FILE = """
import trimtab
from trimtab.config.presets import load_preset
from trimtab.config.study import Study
from trimtab.prompts.judge_template import load_judge_templates
from trimtab.prompts.principles import load_principles
from trimtab.report.page.html import create_environment, load_stylesheet
from trimtab.sources.starter import Starter

print(trimtab.__file__)
assert Study.parse(load_preset("quickstart")).name == "quickstart"
assert Starter().load().pairs and load_principles() and load_judge_templates()
assert create_environment().get_template("page.html.j2") and load_stylesheet()
"""


def test_the_package_of_the_wheel_finds_its_data(installed: Path, tmp_path: Path) -> None:
    assert Path(run_python(installed, tmp_path, USE_EVERY_DATA_FILE).strip()).is_relative_to(installed)
    main = "import sys; from trimtab.cli import main; sys.argv = ['trimtab', 'new', 'study.yaml']; main()"
    run_python(installed, tmp_path, main)
    assert "kind: starter" in (tmp_path / "study.yaml").read_text(encoding="utf-8")


def test_a_tag_is_released_if_its_version_is_everywhere() -> None:
    assert check_release.list_problems("v1.2.0", PROJECT, CITATION, CHANGELOG) == []


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (("v1.2.1", PROJECT, CITATION, CHANGELOG), "the tag is v1.2.1 and pyproject.toml has the version 1.2.0"),
        (("1.2.0", PROJECT, CITATION, CHANGELOG), "the tag is 1.2.0"),
        (("v1.2.0", PROJECT, CITATION.replace("\nversion: 1.2.0", "\nversion: 1.1.0"), CHANGELOG), "CITATION.cff: "),
        (("v1.2.0", PROJECT, CITATION, "## [1.2.0] - unreleased\n"), "CHANGELOG.md: expected a heading with the date"),
    ],
)
def test_a_version_that_differs_keeps_a_tag_from_being_released(texts: tuple[str, str, str, str], problem: str) -> None:
    (found,) = check_release.list_problems(*texts)
    assert found.startswith(problem)


def test_links_of_a_released_readme_are_absolute() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    released = readme_links.make_links_absolute(text, "https://example.org/a/b", "v1.2.0")
    assert "](https://example.org/a/b/blob/v1.2.0/docs/install.md)" in released
    assert "[![" in released and "](https://example.org/a/b/raw/v1.2.0/docs/pictures/report.png)](https://" in released
    links = re.findall(r"\]\(([^)\s]+)", released)
    assert [link for link in links if not link.startswith("https://")] == []
    assert len(links) == len(re.findall(r"\]\(([^)\s]+)", text))
    assert "](https://arxiv.org/abs/2409.08813)" in released
    assert readme_links.make_links_absolute(released, "https://other.org", "v2") == released


def test_the_citation_has_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "license"} <= set(citation)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{citation["version"]}"\n' in project


def test_the_workflow_builds_once_and_publishes_without_a_stored_secret() -> None:
    build, publish = WORKFLOW["jobs"]["build"], WORKFLOW["jobs"]["publish"]
    assert WORKFLOW[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads `on` as true
    assert [step["run"] for step in build["steps"] if "run" in step] == [
        'python tools/check_release.py "$GITHUB_REF_NAME"',
        'python tools/readme_links.py "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY" "$GITHUB_REF_NAME"',
        "make dist",
    ]
    assert publish["needs"] == "build"
    assert publish["permissions"]["id-token"] == "write"
    assert "run" not in {key for step in publish["steps"] for key in step}
    assert WORKFLOW["permissions"] == {}
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")


def test_the_image_copies_only_files_that_the_build_context_has() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    copied = {name for line in copies for name in line.split()}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
