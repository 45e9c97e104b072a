"""The stages of the weak models: each is fine-tuned and aligned on the labeled pairs of a split, before it labels others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trimtab.config.study import MAIN_WEAK_MODEL, Study
from trimtab.models.config import Model
from trimtab.pipeline.plan.sft_stages import plan_sft
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_models import ModelSource
from trimtab.pipeline.stages.logprobs import logprobs_stage
from trimtab.pipeline.stages.train_dpo import dpo_stage


@dataclass(frozen=True, kw_only=True)
class WeakModelStages:
    """A weak model as published, after SFT and after DPO, with tables of log-probabilities of the last two.

    `stage_name` is the part of stage names that identifies the model.
    """

    stage_name: str
    base: Model
    sft: ModelSource
    sft_logprobs: Stage
    dpo: Stage
    dpo_logprobs: Stage


def plan_weak_models(study: Study, split: Stage, name_suffix: str) -> dict[str, WeakModelStages]:
    """All weak models by name, trained on the labeled pairs of the split. `name_suffix` ends the names of the stages."""
    return {name: _plan_weak_model(study, split, name, model, name_suffix) for name, model in list_weak_models(study)}


def list_weak_models(study: Study) -> Iterator[tuple[str, Model]]:
    """The weak models of a study with their names, the main one first."""
    yield MAIN_WEAK_MODEL, study.models.weak
    yield from study.models.weak_models.items()


def list_tokenizer_models(study: Study) -> dict[str, Model]:
    """The models whose tokenizers a pair must be short enough for: the declared one, or all models of the study."""
    return list_distinct_models(study) if study.length_tokenizer is None else {"declared": study.length_tokenizer}


def list_distinct_models(study: Study) -> dict[str, Model]:
    """The student and the weak models by name. A weak model of `weak_models` with the base of an earlier model is left out."""
    models: dict[str, Model] = {MAIN_WEAK_MODEL: study.models.weak, "student": study.models.student}
    for name, model in study.models.weak_models.items():
        if model.base not in {other.base for other in models.values()}:
            models[name] = model
    return models


def build_stage_name(weak_model: str) -> str:
    """The part of stage names that identifies a weak model, as in `dpo.weak-model`."""
    return "weak-model" if weak_model == MAIN_WEAK_MODEL else f"weak-model.{weak_model}"


def _plan_weak_model(study: Study, split: Stage, name: str, model: Model, name_suffix: str) -> WeakModelStages:
    training = study.training
    stage_name = build_stage_name(name)

    def plan_logprobs(suffix: str, source: ModelSource, split_names: Sequence[str]) -> Stage:
        return logprobs_stage(f"logprobs.{stage_name}{suffix}{name_suffix}", source, split, split_names)

    sft = plan_sft(study, f"sft.{stage_name}{name_suffix}", model, split, training.weak_sft or training.sft)
    sft_logprobs = plan_logprobs("-sft", sft, ("labeled", "unlabeled", "test"))
    dpo = dpo_stage(
        f"dpo.{stage_name}{name_suffix}",
        sft,
        split,
        None,
        sft_logprobs,
        training.weak_dpo or training.dpo,
        study.seed,
    )
    return WeakModelStages(
        stage_name=stage_name,
        base=model,
        sft=sft,
        sft_logprobs=sft_logprobs,
        dpo=dpo,
        dpo_logprobs=plan_logprobs("", dpo, ("unlabeled", "test")),
    )
