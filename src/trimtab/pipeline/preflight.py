"""Checks before anything is trained: models are downloaded, scorers and engines are usable, labels suffice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trimtab.config.study import Study
from trimtab.core.component import Component
from trimtab.core.engine_configs import list_engine_configs
from trimtab.core.interfaces import EngineConfig, HasPreflight
from trimtab.core.runtime import Runtime
from trimtab.engines.vllm import require_vllm
from trimtab.errors import DataError, EngineError, ModelError
from trimtab.models.config import compute_model_hash, resolve_weights
from trimtab.pipeline.completion_cache import COMPLETIONS_DIR
from trimtab.pipeline.plan import Plan, required_models
from trimtab.pipeline.plan.weak_models import list_distinct_models
from trimtab.pipeline.stage import Stage, identity_settings
from trimtab.pipeline.stages.cross_fit import MIN_CROSS_FIT_PAIRS
from trimtab.pipeline.stages.generate import GENERATE_KIND
from trimtab.pipeline.stages.sample_pairs import SAMPLE_PAIRS_KIND
from trimtab.pipeline.stages.split import require_max_length
from trimtab.pipeline.stale_stages import find_stale_stages
from trimtab.pipeline.trial_prompts import Trials
from trimtab.storage.artifacts import Artifact, Store


def preflight_trainer_arguments(runtime: Runtime) -> None:
    """Raises `StudyError` for a trainer argument that is unknown, has an invalid value, or needs a package that is missing."""
    if runtime.trainer_arguments:
        from trimtab.training.trainer_values import validate_trainer_values

        validate_trainer_values(runtime.trainer_arguments)


def prefetch_models(study: Study, runtime: Runtime) -> None:
    """Downloads every published model of the study. Fingerprints need the hashes of the weights."""
    for model in required_models(study):
        if compute_model_hash(model) is None:
            resolve_weights(model, runtime.notify)


def preflight_max_length(study: Study, runtime: Runtime) -> None:
    """Raises `StudyError` if a model of the study cannot process texts of `max_length` tokens."""
    require_max_length(study.max_length, list_distinct_models(study), runtime)


def preflight_scorers(study: Study, runtime: Runtime) -> None:
    """Raises `ModelError` if a scorer's model gives no reward or the sentence encoder is not available."""
    components: dict[str, Component | None] = {f"scorers.{name}": scorer for name, scorer in study.scorers.items()}
    components |= {"response_similarity": study.response_similarity}
    components |= {"rounds.scorer": study.rounds.scorer if study.rounds else None}
    for setting, component in components.items():
        if isinstance(component, HasPreflight):
            try:
                component.preflight(runtime)
            except ModelError as error:
                raise ModelError(f"{setting}: {error}") from error


def preflight_engines(study: Study, plan: Plan, store: Store, runtime: Runtime) -> None:
    """Raises errors like `preflight_components` for the annotators and judges of a study."""
    arms = [(f"arms.{name}.annotator", "annotator", arm.annotator) for name, arm in study.arms.items()]
    judges = [(f"judges.{name}", "judge", judge) for name, judge in study.judges.items()]
    preflight_components([*arms, *judges], plan.stages, store, runtime)
    if study.generation.vllm is not None:
        _preflight_vllm(plan.stages, store)


def _preflight_vllm(stages: Sequence[Stage], store: Store) -> None:
    """Raises `EngineError` if responses are still to be generated and vLLM is not installed."""
    kinds = (GENERATE_KIND, SAMPLE_PAIRS_KIND)
    if any(each.kind in kinds and store.find(each.name, each.recipe) is None for each in stages):
        try:
            require_vllm()
        except EngineError as error:
            raise EngineError(f"generation.vllm: {error}") from error


def preflight_components(
    components: Iterable[tuple[str, str, Component]], stages: Sequence[Stage], store: Store, runtime: Runtime
) -> None:
    """Raises `EngineError` if an engine that is still needed is not usable, and `DataError` if an annotator cannot use its
    answers.

    `components` are settings, keys in the settings of a stage, and components. Finished stages need no engine: a finished run
    can be run again when its servers are gone.
    """
    stale = {stage.fingerprint for stage in find_stale_stages(stages, store)}
    remaining = [
        stage.settings for stage in stages if stage.fingerprint in stale or store.find(stage.name, stage.recipe) is None
    ]
    needed = [
        (setting, component)
        for setting, role, component in components
        if any(settings.get(role) == identity_settings(component) for settings in remaining)
    ]
    checked: list[EngineConfig] = []
    for setting, component in needed:
        for name, engine in list_engine_configs(component).items():
            if engine not in checked and isinstance(engine, HasPreflight):
                # a component's name for an engine need not be the name of a setting
                field = f".{name}" if name in type(component).model_fields else ""
                _preflight_engine(f"{setting}{field}", engine, runtime)
                checked.append(engine)
    trials = Trials(store.root / COMPLETIONS_DIR, runtime)
    try:
        for setting, component in needed:
            trials.try_component(setting, component)
    finally:
        trials.close()


def _preflight_engine(setting: str, engine: HasPreflight, runtime: Runtime) -> None:
    try:
        engine.preflight(runtime)
    except EngineError as error:
        raise EngineError(f"{setting}: {error}") from error


def require_labeled_pairs(plan: Plan, split: Artifact) -> None:
    """Raises `DataError` if arms learn from the labeled pairs and too few of these have a human label."""
    count = split.record["facts"]["human_labeled"]["labeled"]
    if plan.supervised_arms and count < MIN_CROSS_FIT_PAIRS:
        raise DataError(
            f"arms.{plan.supervised_arms[0]}: it learns from the labeled pairs, and only {count} have a human label, "
            f"expected {MIN_CROSS_FIT_PAIRS} or more; label more pairs, or give this split a larger share"
        )


def has_human_labels_on_unlabeled(split: Artifact) -> bool:
    """Whether every unlabeled pair has a human label, which some arms need."""
    facts = split.record["facts"]
    return bool(facts["human_labeled"]["unlabeled"] == facts["pairs"]["unlabeled"])
