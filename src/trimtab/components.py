"""From `kind:` to a class: a file's name is its component's name, and nothing is registered anywhere."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from trimtab.errors import StudyError


class Settings(BaseModel):
    """A frozen tree of settings. Unknown keys, wrong types and non-finite numbers are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=False, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )


class Component(Settings):
    """Settings that also work. `VERSION` is bumped by hand when the same settings come to mean another result."""

    VERSION: ClassVar[int] = 1


def kinds(package: str) -> list[str]:
    """The kinds that ship in `trimtab.<package>`, by file name, without importing them."""
    folder = importlib.import_module(f"trimtab.{package}")
    return sorted(
        info.name
        for info in pkgutil.iter_modules(folder.__path__)
        if not info.name.startswith("_") and info.name not in getattr(folder, "NOT_COMPONENTS", ())
    )


def find(package: str, kind: str, place: str) -> type[Component]:
    """The class of a kind: `longest` is `Longest` in `trimtab/<package>/longest.py`; `my_module:Mine` is anyone's own."""
    if ":" in kind:
        module_name, _, class_name = kind.partition(":")
    else:
        known = kinds(package)
        if kind not in known:
            near = difflib.get_close_matches(kind, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise StudyError(f"{place}.kind: no {kind!r} among the {package} (there are: {', '.join(known)}){hint}")
        module_name = f"trimtab.{package}.{kind}"
        class_name = "".join(word.capitalize() for word in kind.split("_"))
    try:
        found: Any = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise StudyError(f"{place}.kind: cannot load {kind!r}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Component)):
        raise StudyError(f"{place}.kind: {kind!r} is not a trimtab Component")
    return found


def kind_of(component: Component) -> str:
    """The `kind` that finds this component's class again."""
    module, name = type(component).__module__, type(component).__name__
    package, _, file = module.rpartition(".")
    shipped = package.startswith("trimtab.") and name == "".join(word.capitalize() for word in file.split("_"))
    return file if shipped else f"{module}:{name}"
