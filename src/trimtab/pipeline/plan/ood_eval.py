"""How well rows choose on pairs of other domains: what training on one does to the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.annotators.prompted import Prompted
from trimtab.config.study import Study
from trimtab.pipeline.plan.model import RowStages
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_models import ModelSource
from trimtab.pipeline.stages.annotate import AnnotatorDependencies, annotate_stage
from trimtab.pipeline.stages.logprobs import logprobs_stage
from trimtab.pipeline.stages.split import ood_pairs_stage

# What choices on a domain are read from: both tables, or predictions.
ChoiceStages = Mapping[str, Stage]


@dataclass(frozen=True, kw_only=True)
class OodEvalStages:
    """`pairs` by domain, and by row and domain the stages from which the row's choices are read."""

    pairs: Mapping[str, Stage] = field(default_factory=dict)
    choices: Mapping[str, Mapping[str, ChoiceStages]] = field(default_factory=dict)


def build_ood_stages(study: Study, split: Stage, rows: Sequence[RowStages]) -> OodEvalStages:
    """The stages that the study asks for, of rows that choose on its own test pairs."""
    models = {"weak": study.models.weak, "student": study.models.student}
    pairs = {
        name: ood_pairs_stage(f"ood-pairs.{name}", source, split, study.max_length, models)
        for name, source in study.ood_eval.items()
    }
    found = {
        row.name: {
            name: parts for name, there in pairs.items() if (parts := _build_choice_stages(study, row, name, there))
        }
        for row in rows
    }
    return OodEvalStages(pairs=pairs, choices={row: domains for row, domains in found.items() if domains})


def _build_choice_stages(study: Study, row: RowStages, name: str, there: Stage) -> ChoiceStages:
    student = row.name != "weak_model"
    as_published: ModelSource = study.models.student if student else study.models.weak
    if row.policy_logprobs is not None and row.reference_logprobs is not None and row.training is not None:
        began: ModelSource = row.reference_logprobs.input_stages.get("model", as_published)
        return {
            "policy_logprobs": logprobs_stage(f"logprobs.{row.name}.{name}", row.training, there, ("test",)),
            "reference_logprobs": logprobs_stage(f"logprobs.{row.name}-reference.{name}", began, there, ("test",)),
        }
    if row.predictions is not None and student:
        asked = AnnotatorDependencies(engine_models={"weak": row.training or as_published})
        return {
            "predictions": annotate_stage(f"predict.{row.name}.{name}", Prompted(), there, asked, split_name="test")
        }
    return {}
