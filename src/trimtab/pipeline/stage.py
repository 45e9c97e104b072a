"""A stage: a plain function from named inputs and settings to one folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from trimtab.core.component import Component, Settings, get_kind
from trimtab.core.runtime import Runtime
from trimtab.models.config import Model, compute_model_hash
from trimtab.storage.artifacts import Artifact, Draft, Recipe

StageInputs = Mapping[str, Artifact]
StageFunction = Callable[[Draft, StageInputs, Runtime], Mapping[str, Any]]

# Kinds that train a model, and those that read pairs with one into a table from which labels cost nothing more.
TRAINING_KINDS = ("sft", "dpo", "reward_model", "preference_model")
TABLE_KINDS = ("logprobs", "hidden_states", "reward_table")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One node of a study. `needs` are the stages whose folders it reads; `identities` stand for what lies outside the
    study, by content: a source's files, a model's weights. `make` writes the draft and returns facts for the record."""

    name: str
    kind: str
    execute: StageFunction
    version: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    input_stages: Mapping[str, Stage] = field(default_factory=dict)
    external_hashes: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def recipe(self) -> Recipe:
        inputs = {name: stage.recipe.fingerprint for name, stage in self.input_stages.items()}
        return Recipe(
            stage=self.kind, version=self.version, settings=self.settings, inputs={**self.external_hashes, **inputs}
        )


def identity_settings(settings: Settings) -> dict[str, Any]:
    """What of some settings bears on identity: those that differ from their defaults, and a component's kind and version."""
    places = settings.FINGERPRINT_EXCLUDED if isinstance(settings, Component) else frozenset[str]()
    fields = settings.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    bearing = {name: fields[name] for name in fields if name not in places}
    inside = {each.alias or name: getattr(settings, name) for name, each in type(settings).model_fields.items()}
    for name in bearing:
        inner = inside.get(name)
        if isinstance(inner, Settings):
            bearing[name] = identity_settings(inner)
    if not isinstance(settings, Component):
        return bearing
    version = {"version": settings.VERSION} if settings.VERSION != 1 else {}
    return {"kind": get_kind(settings), **bearing, **version}


def model_content_hash(model: Model) -> str:
    """The hash of a model's weights; before they have been fetched, the name that they will be fetched by."""
    return compute_model_hash(model) or f"not-downloaded:{model.base}@{model.revision}"
