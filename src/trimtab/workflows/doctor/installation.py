"""Versions of the packages that Trimtab computes with, and its optional extras."""

from __future__ import annotations

import platform
import re
import sys
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, requires, version

from trimtab.workflows.doctor.findings import FactGroup

PACKAGES = ("torch", "transformers", "datasets", "peft", "accelerate", "huggingface-hub", "numpy", "pydantic")
# For Trimtab's own development.
_NOT_LISTED = ("dev",)
_EXTRA_REQUIREMENT = re.compile(r"(?P<package>[A-Za-z0-9._-]+).*;.*\bextra\s*==\s*['\"](?P<extra>[^'\"]+)['\"]")


def list_versions() -> FactGroup:
    python = f"{platform.python_version()} ({sys.executable})"
    packages = [(name, find_version(name) or "missing; install Trimtab again") for name in PACKAGES]
    return FactGroup("versions", (("trimtab", version("trimtab")), ("python", python), *packages))


def list_extras() -> FactGroup:
    """Every optional extra, with the versions of its packages or how to install it."""
    return FactGroup("extras", tuple((extra, _describe_extra(extra, names)) for extra, names in _read_extras().items()))


def find_version(package: str) -> str | None:
    """The installed version of a package, without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _read_extras() -> dict[str, list[str]]:
    """The packages of each extra that Trimtab declares."""
    extras: dict[str, list[str]] = defaultdict(list)
    for requirement in requires("trimtab") or ():
        match = _EXTRA_REQUIREMENT.match(requirement)
        if match and match["extra"] not in _NOT_LISTED:
            extras[match["extra"]].append(match["package"])
    return dict(sorted(extras.items()))


def _describe_extra(extra: str, packages: list[str]) -> str:
    found = {name: find_version(name) for name in packages}
    missing = [name for name, installed in found.items() if installed is None]
    if missing:
        return f"missing ({', '.join(missing)}); in Trimtab's folder, run pip install '.[{extra}]'"
    return ", ".join(f"{name} {installed}" for name, installed in found.items())
