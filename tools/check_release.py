"""Checks that a tag can be released: `python tools/check_release.py v0.1.0`. Needs no package.

The tag is the version in pyproject.toml, CITATION.cff has this version, and the changelog has it with a date.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def list_problems(tag: str, project: str, citation: str, changelog: str) -> list[str]:
    """What keeps a tag from being released, given the texts of pyproject.toml, CITATION.cff and CHANGELOG.md."""
    version = tomllib.loads(project)["project"]["version"]
    problems = []
    if tag != f"v{version}":
        problems.append(f"the tag is {tag} and pyproject.toml has the version {version}; expected the tag v{version}")
    if f"\nversion: {version}\n" not in citation:
        problems.append(f"CITATION.cff: expected the line `version: {version}`")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d{{2}}-\d{{2}}$", changelog, re.MULTILINE):
        problems.append(f"CHANGELOG.md: expected a heading with the date of the release, `## [{version}] - YYYY-MM-DD`")
    return problems


def main(tag: str) -> int:
    texts = ((ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md"))
    problems = list_problems(tag, *texts)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
