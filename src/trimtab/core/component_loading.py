"""Finds the class of a `kind`: a module of Trimtab, or `my_module:MyClass`."""

from __future__ import annotations

import importlib
import pkgutil
import traceback
from typing import Any

from trimtab.core.validation_errors import format_input, format_suggestion
from trimtab.errors import StudyError


def list_kinds(package: str) -> list[str]:
    """The built-in kinds in `trimtab.<package>`, from its module names; the modules are not imported."""
    folder = importlib.import_module(f"trimtab.{package}")
    return sorted(info.name for info in pkgutil.iter_modules(folder.__path__) if not info.name.startswith("_"))


def import_kind(package: str, kind: str) -> Any:
    """What the module of a kind defines under the name of its class."""
    module_name, class_name = _parse_custom_kind(kind) if ":" in kind else _parse_built_in_kind(package, kind)
    return _import_attribute(kind, module_name, class_name)


def to_class_name(kind: str) -> str:
    """The name of the class of a built-in kind: `NoisyHuman` for `noisy_human`."""
    return "".join(word.capitalize() for word in kind.split("_"))


def _parse_built_in_kind(package: str, kind: str) -> tuple[str, str]:
    kinds = list_kinds(package)
    if kind not in kinds:
        raise StudyError(
            f"kind: unknown kind {format_input(kind)} in {package}{format_suggestion(kind, kinds)} "
            f"(expected one of: {', '.join(kinds)})"
        )
    return f"trimtab.{package}.{kind}", to_class_name(kind)


def _parse_custom_kind(kind: str) -> tuple[str, str]:
    module_name, _, class_name = kind.partition(":")
    if not (all(part.isidentifier() for part in module_name.split(".")) and class_name.isidentifier()):
        raise StudyError(
            f"kind: {format_input(kind)} does not name a class; write the kind of a custom component as "
            "my_package.my_module:MyClass"
        )
    return module_name, class_name


def _import_attribute(kind: str, module_name: str, class_name: str) -> Any:
    """Imports custom code, which can raise anything, `SystemExit` included."""
    try:
        module = importlib.import_module(module_name)
        return getattr(module, class_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise StudyError(
                f"kind: cannot load {format_input(kind)}: there is no module {missing!r}; Python must be able to import it: "
                "set PYTHONPATH to its folder, or install it"
            ) from error
        raise StudyError(f"kind: cannot load {format_input(kind)}: {_describe_exception(error)}") from error
    except AttributeError as error:
        raise StudyError(f"kind: cannot load {format_input(kind)}: {error}") from error
    except (Exception, SystemExit) as error:
        raise StudyError(f"kind: cannot load {format_input(kind)}: {_describe_exception(error)}") from error


def _describe_exception(error: BaseException) -> str:
    """The exception and the line that raised it, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({error.filename}:{error.lineno})"
    message = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())[:300]
    return f"importing it raised {type(error).__name__}{f': {message}' if message else ''}{place}"
