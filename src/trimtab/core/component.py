"""Settings and components. A `kind` names the module that defines its class, so no registration is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import CoreSchema, core_schema

from trimtab.core.component_loading import import_kind, list_kinds, to_class_name
from trimtab.core.renamed_settings import rename_kind, rename_settings
from trimtab.core.scalar_checks import require_bounded_numbers, require_matching_scalars
from trimtab.core.validation_errors import format_input, format_validation_errors
from trimtab.core.yaml_text import parse_yaml
from trimtab.errors import StudyError


class Settings(BaseModel):
    """A frozen tree of settings. Unknown keys, wrong types, and non-finite or huge numbers are errors."""

    # Settings that change no result, and those such as file paths, whose contents enter a fingerprint by hash instead.
    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=False, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )

    @field_validator("*", mode="before")
    @classmethod
    def _require_matching_scalars(cls, value: Any, info: ValidationInfo) -> Any:
        return require_matching_scalars(cls.model_fields[str(info.field_name)].annotation, value)

    @field_validator("*", mode="after")
    @classmethod
    def _require_bounded_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        return require_bounded_numbers(str(info.field_name), value)


T = TypeVar("T", bound=Settings)

# Keys in the JSON schema of a settings class: the package of a component, and whether a text can replace the mapping.
COMPONENT_MARK, TEXT_MARK = "x-component", "x-text"


class Component(Settings):
    """Settings that also do work. Increment `VERSION` by hand when the same settings start to give different results."""

    VERSION: ClassVar[int] = 1


class ComponentField:
    """Marks a field that holds a component: `Annotated[Component, ComponentField("annotators")]` reads `{kind: length, …}`.

    `expand_word` converts a bare word to the mapping that it abbreviates; by default a bare word is a kind.
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

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A mark that `json_schema` replaces with the alternatives by kind."""
        return {COMPONENT_MARK: self.package, TEXT_MARK: self.expand_word is not None}


SourceField = Annotated[Component, ComponentField("sources")]
# A bare model name is run with the transformers engine: `weak: "@weak"`, `strong: gemma3-270m`.
ENGINE_FIELD = ComponentField("engines", lambda name: {"kind": "transformers", "model": name})


def build_component(package: str, value: Any) -> Component:
    """Builds the component that a mapping with `kind` describes. Components are returned unchanged; a word is a kind."""
    if isinstance(value, Component):
        return value
    document = {"kind": value} if isinstance(value, str) else value
    if not isinstance(document, Mapping) or not isinstance(document.get("kind"), str):
        kinds = ", ".join(list_kinds(package))
        raise StudyError(f"expected a mapping with `kind`, one of: {kinds}; got {format_input(value)}")
    kind, settings = document["kind"], {key: setting for key, setting in document.items() if key != "kind"}
    renamed = rename_kind(package, kind)
    if renamed is None:
        return _build_component(find_component_class(package, kind), kind, settings)
    new_kind, message = renamed
    try:
        validate_settings(find_component_class(package, new_kind), settings)
    except StudyError as error:
        raise StudyError(f"{message}\n{error}") from error
    raise StudyError(message)


def _build_component(cls: type[Component], kind: str, settings: Mapping[str, Any]) -> Component:
    """Validates settings into a component. A custom class can raise anything."""
    try:
        return validate_settings(cls, settings)
    except StudyError:
        raise
    except Exception as error:
        if cls.__module__.startswith("trimtab."):
            raise
        raise StudyError(f"kind: {format_input(kind)} raised {type(error).__name__}: {format_input(error)}") from error


def build_component_from_options(package: str, kind: str, settings: Sequence[str]) -> Component:
    """Builds a component from a kind and `key=value` settings given on the command line; values are read as YAML."""
    document: dict[str, Any] = {}
    for setting in settings:
        if setting.partition("=")[0].strip() == "kind":
            raise StudyError(f"{setting!r}: set the kind of annotator with --annotator")
        document = apply_override(document, setting)
    return build_component(package, {"kind": kind, **document})


def apply_override(document: Mapping[str, Any], override: str) -> dict[str, Any]:
    """Returns the document with `key.sub=value` applied; the value is read as YAML."""
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise StudyError(f"{override!r}: write an override as key=value or key.sub=value")
    head, _, rest = key.strip().partition(".")
    if not rest:
        # `@` cannot start a YAML word, and `@weak` names a model of the study
        return {
            **document,
            head: value.strip() if value.strip().startswith("@") else parse_yaml(value, format_input(override)),
        }
    inner = document.get(head) or {}
    if not isinstance(inner, Mapping):
        raise StudyError(f"{override!r}: {head} is {inner!r}, not a mapping of settings")
    return {**document, head: apply_override(inner, f"{rest}={value}")}


def validate_settings(cls: type[T], settings: Any, location: str = "") -> T:
    """Validates settings into an object of `cls`. Raises `StudyError` with one line per error.

    Settings under an old name are reported with the new name, together with all other errors.
    """
    renamed: list[str] = []
    while True:
        try:
            validated = cls.model_validate(settings)
        except ValidationError as error:
            messages, renamed_settings = rename_settings(cls, settings, error.errors(), location)
            if messages:
                renamed, settings = [*renamed, *messages], renamed_settings
                continue
            raise StudyError("\n".join([*renamed, *format_validation_errors(cls, error.errors(), location)])) from error
        if renamed:
            raise StudyError("\n".join(renamed))
        return validated


def dump_component(component: Component) -> dict[str, Any]:
    """The mapping that `build_component` accepts: the kind and the settings that differ from their defaults."""
    return {"kind": get_kind(component), **component.model_dump(mode="json", exclude_defaults=True, by_alias=True)}


def find_component_class(package: str, kind: str) -> type[Component]:
    """Imports the class of a kind.

    `length` is the class `Length` in `trimtab/<package>/length.py`; `my_module:MyClass` is a custom class.
    """
    cls = import_kind(package, kind)
    if not (isinstance(cls, type) and issubclass(cls, Component)):
        raise StudyError(f"kind: {format_input(kind)} is not a trimtab Component")
    return cls


def get_kind(component: Component) -> str:
    """The `kind` under which `find_component_class` finds this component's class."""
    module, name = type(component).__module__, type(component).__name__
    package, _, file = module.rpartition(".")
    is_built_in = package.startswith("trimtab.") and name == to_class_name(file)
    return file if is_built_in else f"{module}:{name}"
