"""A stage: a function from named inputs and settings to one artifact folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from trimtab.config.training import TrainingSettings
from trimtab.core.component import Component, Settings, get_kind
from trimtab.core.runtime import Runtime
from trimtab.storage.artifacts import Artifact, Draft
from trimtab.storage.recipe import Recipe

StageInputs = Mapping[str, Artifact]
StageFunction = Callable[[Draft, StageInputs, Runtime], Mapping[str, Any]]

# data: reads, splits or merges pairs and labels. training: trains a model. pair_table: runs a model over pairs, so that labels
# can be derived without another forward pass. annotation: labels pairs. label_transform: calibrates or filters the labels of
# its input `labels`. evaluation: everything that is computed from a trained model.
StageRole = Literal["data", "training", "pair_table", "annotation", "label_transform", "evaluation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the duration of a stage is proportional to, for time estimates.

    The amount of work is `factor` times the number of units: the tokens or pairs of `splits` (at most `limit` pairs if there
    are no `splits`), at most `limit` test prompts, or 1 for `once`. A training processes its pairs `epochs` times, or
    `num_pairs` pairs in all, repeated as often as necessary. `token_fraction` is the share of a pair's tokens that is
    processed. After execution, the fact named `fact` holds the number of units, of all epochs. `model_input` names the input
    with the model that does the work. Stages with equal `rate_key` take about the same time per unit and parameter.
    """

    rate_key: str
    unit: Literal["once", "tokens", "pairs", "prompts"]
    fact: str = ""
    splits: tuple[str, ...] = ()
    limit: int | None = None
    factor: float = 1.0
    epochs: float = 1.0
    num_pairs: int | None = None
    token_fraction: float = 1.0
    model_input: str = "model"

    def measure(self, facts: Mapping[str, Any]) -> float:
        """The amount of work that was done, from the facts that the stage returned."""
        return self.factor * float(facts[self.fact] if self.fact else 1)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One node of the stage graph.

    `execute` writes the draft and returns facts for the record. `input_stages` are the stages whose folders it reads, by
    name. `external_hashes` identify inputs from outside the study by content: files of pairs, model weights. `work` is None
    if the stage takes no noticeable time, and `training` if it trains no model.
    """

    name: str
    kind: str
    execute: StageFunction
    role: StageRole = "data"
    version: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    input_stages: Mapping[str, Stage] = field(default_factory=dict)
    external_hashes: Mapping[str, str] = field(default_factory=dict)
    work: Work | None = None
    training: TrainingSettings | None = None

    @cached_property
    def recipe(self) -> Recipe:
        inputs = {name: stage.recipe.fingerprint for name, stage in self.input_stages.items()}
        return Recipe(
            stage=self.kind, version=self.version, settings=self.settings, inputs={**self.external_hashes, **inputs}
        )

    @property
    def fingerprint(self) -> str:
        return self.recipe.fingerprint

    @property
    def model_hash(self) -> str:
        """The content hash of the published model that does the work, traced through the stages that trained it; else ""."""
        name = self.work.model_input if self.work else "model"
        if name in self.input_stages:
            return self.input_stages[name].model_hash
        return self.external_hashes.get(name, "")

    def run(self, draft: Draft, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Mapping[str, Any]:
        """Executes the stage. `artifacts` are keyed by fingerprint. Returns the facts for the record."""
        inputs = {name: artifacts[stage.fingerprint] for name, stage in self.input_stages.items()}
        facts = self.execute(draft, inputs, runtime)
        return {**facts, **self._measured_work(facts)}

    def _measured_work(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        if self.work is None:
            return {}
        amount = self.work.measure(facts)
        return {"work": {"rate_key": self.work.rate_key, "model": self.model_hash, "amount": amount}}


def identity_settings(settings: Settings) -> dict[str, Any]:
    """The settings that enter a fingerprint: those that differ from their defaults, and a component's kind and version."""
    dumped = settings.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    values = {info.alias or name: getattr(settings, name) for name, info in type(settings).model_fields.items()}
    identity = {
        name: _identify_value(values.get(name), dumped[name])
        for name in dumped
        if name not in settings.FINGERPRINT_EXCLUDED
    }
    if not isinstance(settings, Component):
        return identity
    version = {"version": settings.VERSION} if settings.VERSION != 1 else {}
    return {"kind": get_kind(settings), **identity, **version}


def _identify_value(value: Any, dumped: Any) -> Any:
    if isinstance(value, Settings):
        return identity_settings(value)
    if isinstance(value, tuple) and value and all(isinstance(item, Settings) for item in value):
        return [identity_settings(item) for item in value]
    return dumped
