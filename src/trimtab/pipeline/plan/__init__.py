"""What a study unfolds into: stages in an order in which they can be made, and what each is for."""

from __future__ import annotations

from trimtab.config.study import Study
from trimtab.core.engine_configs import list_engine_configs
from trimtab.core.interfaces import UsesFeatures, UsesRewardModel
from trimtab.engines.transformers import Transformers
from trimtab.models.config import Model
from trimtab.pipeline.plan.model import ROW_STAGES, Plan, RowStages, sort_stages
from trimtab.pipeline.plan.student_stages import NO_HUMAN_LABELS, StudentPlanner
from trimtab.pipeline.stages.annotate import as_annotator

__all__ = ["NO_HUMAN_LABELS", "ROW_STAGES", "Plan", "RowStages", "build_plan", "required_models", "sort_stages"]


def build_plan(study: Study, *, human_on_unlabeled: bool = True) -> Plan:
    """The study's plan. Without human labels on the unlabeled pairs, arms that need them are skipped and say so."""
    return StudentPlanner(study).build_plan(human_on_unlabeled)


def required_models(study: Study) -> list[Model]:
    """The published models that a study names: its own, its scorers', and those that annotators read or ask and judges ask."""
    scorers = [getattr(scorer, "model", None) for scorer in study.scorers.values()]
    annotators = [arm.annotator for arm in study.arms.values()]
    read = [name for each in annotators for name in as_annotator(each).logprob_models()]
    read += [each.features().model for each in annotators if isinstance(each, UsesFeatures)]
    read += [each.reward_model().model for each in annotators if isinstance(each, UsesRewardModel)]
    askers = [*annotators, *study.judges.values()]
    asked = [
        engine.model
        for each in askers
        for engine in list_engine_configs(each).values()
        if isinstance(engine, Transformers)
    ]
    return [
        study.models.weak,
        study.models.student,
        *(model for model in scorers if isinstance(model, Model)),
        *(Model(base=name) for name in dict.fromkeys([*read, *asked]) if not name.startswith("@")),
    ]
