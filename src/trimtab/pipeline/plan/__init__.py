"""Builds the plan of a study: its stages in topological order, and what each is for."""

from __future__ import annotations

from trimtab.config.study import Study
from trimtab.core.engine_configs import list_engine_configs
from trimtab.engines.transformers import Transformers
from trimtab.models.config import Model
from trimtab.pipeline.plan.model import Plan, RowStages, sort_stages
from trimtab.pipeline.plan.student_stages import NO_HUMAN_LABELS, StudentPlanner
from trimtab.pipeline.plan.weak_models import list_weak_models
from trimtab.pipeline.stages.annotate import as_annotator

__all__ = ["NO_HUMAN_LABELS", "Plan", "RowStages", "build_plan", "required_models", "sort_stages"]


def build_plan(study: Study, *, human_on_unlabeled: bool = True) -> Plan:
    """The plan of a study. Without human labels on the unlabeled pairs, arms that need them are skipped with a reason."""
    return StudentPlanner(study).build_plan(human_on_unlabeled)


def required_models(study: Study) -> list[Model]:
    """The published models that a study names: its own, the one that counts tokens, and those of components."""
    scorers = [*study.scorers.values(), *([study.rounds.scorer] if study.rounds else [])]
    scorer_models = [getattr(scorer, "model", None) for scorer in scorers]
    annotators = [arm.annotator for arm in study.arms.values()]
    names: list[str] = []
    for annotator in annotators:
        requirements = as_annotator(annotator).requirements()
        trained = (requirements.features, requirements.reward_model)
        names += [*requirements.logprob_models, *(spec.model for spec in trained if spec is not None)]
    for component in (*annotators, *study.judges.values()):
        engines = list_engine_configs(component).values()
        names += [engine.model for engine in engines if isinstance(engine, Transformers)]
    return [
        *(model for _, model in list_weak_models(study)),
        study.models.student,
        *([] if study.length_tokenizer is None else [study.length_tokenizer]),
        *(model for model in scorer_models if isinstance(model, Model)),
        *(Model.model_validate(name) for name in dict.fromkeys(names) if not name.startswith("@")),
    ]
