"""What a study unfolds into: stages in an order in which they can be made, and what each is for."""

from __future__ import annotations

from trimtab.engines.transformers import Transformers
from trimtab.lm.weights import Model
from trimtab.plan.parts import ArmStages, Plan, ordered
from trimtab.plan.students import UNLABELED, Students
from trimtab.protocols import LearnsReward, ReadsFeatures
from trimtab.stages.annotate import as_annotator
from trimtab.stages.engines import engines_of
from trimtab.study import Study

__all__ = ["UNLABELED", "ArmStages", "Plan", "named_models", "ordered", "unfold"]


def unfold(study: Study, *, human_on_unlabeled: bool = True) -> Plan:
    """The study's plan. Without human labels on the unlabeled pairs, arms that need them are skipped and say so."""
    return Students(study).plan(human_on_unlabeled)


def named_models(study: Study) -> list[Model]:
    """The published models that a study names: its own, its scorers', and those that annotators read or ask and judges ask."""
    scorers = [getattr(scorer, "model", None) for scorer in study.evaluation.values()]
    annotators = [arm.annotator for arm in study.arms.values()]
    read = [name for each in annotators for name in as_annotator(each).models()]
    read += [each.features().model for each in annotators if isinstance(each, ReadsFeatures)]
    read += [each.reward().model for each in annotators if isinstance(each, LearnsReward)]
    askers = [*annotators, *study.judges.values()]
    asked = [
        engine.model for each in askers for engine in engines_of(each).values() if isinstance(engine, Transformers)
    ]
    return [
        study.models.weak,
        study.models.student,
        *(model for model in scorers if isinstance(model, Model)),
        *(Model(base=name) for name in dict.fromkeys([*read, *asked]) if not name.startswith("@")),
    ]
