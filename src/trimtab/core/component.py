"""From `kind:` to a class: a file's name is its component's name, and nothing is registered anywhere."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from trimtab.errors import StudyError


class Settings(BaseModel):
    """A frozen tree of settings. Unknown keys, wrong types and non-finite numbers are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=False, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )


T = TypeVar("T", bound=Settings)


class Component(Settings):
    """Settings that also work. `VERSION` is bumped by hand when the same settings come to mean another result."""

    VERSION: ClassVar[int] = 1
    # Settings that say where something lies; what it holds enters a fingerprint by its hash instead.
    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset()


class ComponentField:
    """Marks a field that holds a component: `Annotated[Component, Kind("annotators")]` reads `{kind: length, …}`.

    `bare` says what a bare word stands for where it is not a kind.
    """

    def __init__(self, package: str, expand_word: Callable[[str], Mapping[str, Any]] | None = None) -> None:
        self.package, self.expand_word = package, expand_word

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: build_component(
                self.package, self.expand_word(value) if self.expand_word and isinstance(value, str) else value
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(dump_component),
        )


# A model's name alone is asked through transformers: `weak: "@weak"`, `strong: gemma3-270m`.
ENGINE_FIELD = ComponentField("engines", lambda name: {"kind": "transformers", "model": name})


def build_component(package: str, value: Any) -> Component:
    """The component that a mapping with `kind` describes. A component passes as it is; a bare word is its kind."""
    if isinstance(value, Component):
        return value
    given = {"kind": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not isinstance(given.get("kind"), str):
        raise StudyError(f"expected a mapping with `kind`, one of: {', '.join(list_kinds(package))}")
    kind, settings = given["kind"], {key: each for key, each in given.items() if key != "kind"}
    return validate_settings(find_component_class(package, kind), settings)


def build_component_from_options(package: str, kind: str, settings: Sequence[str]) -> Component:
    """The component whose kind and `key=value` settings were given on the command line; values are read as YAML."""
    given: dict[str, Any] = {}
    for each in settings:
        if each.partition("=")[0].strip() == "kind":
            raise StudyError(f"{each!r}: the kind of annotator is named by --with")
        given = apply_override(given, each)
    return build_component(package, {"kind": kind, **given})


def apply_override(document: Mapping[str, Any], change: str) -> dict[str, Any]:
    """The document with `key.sub=value` put in; the value is read as YAML."""
    key, equals, value = change.partition("=")
    if not equals or not key.strip():
        raise StudyError(f"{change!r}: a change is written key=value or key.sub=value")
    head, _, rest = key.strip().partition(".")
    if not rest:
        # `@` cannot begin a YAML word, and `@weak` is how a study's own model is named
        return {**document, head: value.strip() if value.strip().startswith("@") else _parse_yaml_value(change, value)}
    inner = document.get(head) or {}
    if not isinstance(inner, Mapping):
        raise StudyError(f"{change!r}: {head} is {inner!r}, not a mapping of settings")
    return {**document, head: apply_override(inner, f"{rest}={value}")}


def validate_settings(cls: type[T], settings: Any, location: str = "") -> T:
    """The settings as an object. Raises `StudyError` with a line for each thing that is wrong, in our words."""
    try:
        return cls.model_validate(settings)
    except ValidationError as error:
        lines = [_format_error(cls, details, location) for details in error.errors()]
        raise StudyError("\n".join(lines)) from error


def dump_component(component: Component) -> dict[str, Any]:
    """The mapping that `build` reads back: the kind and the settings that differ from their defaults."""
    return {"kind": get_kind(component), **component.model_dump(mode="json", exclude_defaults=True, by_alias=True)}


def list_kinds(package: str) -> list[str]:
    """The kinds that ship in `trimtab.<package>`, by file name, without importing them."""
    folder = importlib.import_module(f"trimtab.{package}")
    return sorted(
        info.name
        for info in pkgutil.iter_modules(folder.__path__)
        if not info.name.startswith("_") and info.name not in getattr(folder, "NOT_COMPONENTS", ())
    )


def find_component_class(package: str, kind: str) -> type[Component]:
    """The class of a kind: `length` is `Length` in `trimtab/<package>/length.py`; `my_module:Mine` is anyone's own."""
    if ":" in kind:
        module_name, _, class_name = kind.partition(":")
    else:
        known = list_kinds(package)
        if kind not in known:
            among = {"data": "sources", "evaluation": "scorers and judges"}.get(package, package)
            raise StudyError(
                f"kind: no {kind!r} among the {among} (there are: {', '.join(known)}){format_suggestion(kind, known)}"
            )
        module_name = f"trimtab.{package}.{kind}"
        class_name = _kind_to_class_name(kind)
    try:
        found: Any = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise StudyError(f"kind: cannot load {kind!r}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Component)):
        raise StudyError(f"kind: {kind!r} is not a trimtab Component")
    return found


def get_kind(component: Component) -> str:
    """The `kind` that finds this component's class again."""
    module, name = type(component).__module__, type(component).__name__
    package, _, file = module.rpartition(".")
    shipped = package.startswith("trimtab.") and name == _kind_to_class_name(file)
    return file if shipped else f"{module}:{name}"


def format_suggestion(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'beta'?` where a known word is near, else nothing."""
    found = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def _kind_to_class_name(kind: str) -> str:
    return "".join(word.capitalize() for word in kind.split("_"))


def _format_error(cls: type[Settings], details: ErrorDetails, place: str) -> str:
    """One thing that is wrong: the place, what was found, and what would be right."""
    path = [str(part) for part in details["loc"]]
    where = ".".join([place, *path] if place else path)
    if details["type"] == "extra_forbidden":
        known = _list_valid_keys(cls, path[:-1])
        return f"{where}: there is no such setting{format_suggestion(path[-1], known)} (there are: {', '.join(known)})"
    if details["type"] == "missing":
        return f"{where}: this setting is needed and was not given"
    where = where.replace(".function-plain[<lambda>()]", "")
    inner = details.get("ctx", {}).get("error")
    if isinstance(inner, StudyError):
        return "\n".join(_prefix_message(where, line) for line in str(inner).splitlines())
    if inner is not None:
        return _prefix_message(where, str(inner))
    found = details["input"]
    return (
        f"{where}: {_describe_expectation(details)}, got {found!r}"
        if where
        else f"{_describe_expectation(details)}, got {found!r}"
    )


def _prefix_message(where: str, line: str) -> str:
    """An inner message under an outer place: `annotator` and `kind: no such` make `annotator.kind: no such`."""
    head = line.split(":", 1)[0]
    within = head.replace("_", "").replace(".", "").isalnum() and ": " in line
    return f"{where}{'.' if within and where else ': ' if where else ''}{line}"


def _describe_expectation(details: ErrorDetails) -> str:
    wanted = {
        "int_parsing": "expected a whole number",
        "int_type": "expected a whole number",
        "int_from_float": "expected a whole number",
        "float_parsing": "expected a number",
        "float_type": "expected a number",
        "string_type": "expected text",
        "bool_parsing": "expected true or false",
        "model_type": "expected a mapping of settings",
        "string_pattern_mismatch": f"expected text of the form {details.get('ctx', {}).get('pattern')}",
    }
    message = wanted.get(details["type"], details["msg"])
    return message.replace("Input should be a valid", "expected a").replace("Input should be", "must be")


def _list_valid_keys(cls: type[Settings], path: Sequence[str]) -> list[str]:
    """The settings that exist where the path leads, as far as the field types tell."""
    current: Any = cls
    for part in path:
        fields = getattr(current, "model_fields", {})
        if part in fields:
            current = _find_settings_class(fields[part].annotation)
    return sorted(each.alias or name for name, each in getattr(current, "model_fields", {}).items())


def _find_settings_class(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    inside: list[Callable[..., Any]] = [found for each in get_args(annotation) if (found := _find_settings_class(each))]
    return inside[0] if inside else None


def _parse_yaml_value(change: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StudyError(f"{change!r}: the value is not YAML: {error}") from error
