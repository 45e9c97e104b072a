"""Stages for the accuracy on pairs of other domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.annotators.prompted import Prompted
from trimtab.config.study import Study
from trimtab.pipeline.annotator_dependencies import AnnotatorDependencies
from trimtab.pipeline.plan.model import RowStages
from trimtab.pipeline.plan.response_metrics import find_reference_model
from trimtab.pipeline.plan.weak_models import list_tokenizer_models
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.annotate import annotate_stage
from trimtab.pipeline.stages.logprobs import logprobs_stage
from trimtab.pipeline.stages.split import ood_pairs_stage

# The stages that a row's choices on a domain are read from: both log-probability tables, or predictions.
ChoiceStages = Mapping[str, Stage]


@dataclass(frozen=True, kw_only=True)
class OodEvalStages:
    """`pairs` by domain; `choices` by row and domain."""

    pairs: Mapping[str, Stage] = field(default_factory=dict)
    choices: Mapping[str, Mapping[str, ChoiceStages]] = field(default_factory=dict)


def build_ood_stages(study: Study, split: Stage, rows: Sequence[RowStages]) -> OodEvalStages:
    """The out-of-domain stages of the study, for rows that have an accuracy on its test pairs."""
    models = list_tokenizer_models(study)
    pairs = {
        domain: ood_pairs_stage(f"ood-pairs.{domain}", source, split, study.max_length, models)
        for domain, source in study.ood_eval.items()
    }
    choices = {
        row.name: {
            domain: stages
            for domain, domain_pairs in pairs.items()
            if (stages := _build_choice_stages(study, row, domain, domain_pairs))
        }
        for row in rows
    }
    return OodEvalStages(pairs=pairs, choices={row: domains for row, domains in choices.items() if domains})


def _build_choice_stages(study: Study, row: RowStages, domain: str, pairs: Stage) -> ChoiceStages:
    if row.policy_logprobs is not None and row.reference_logprobs is not None and row.training is not None:
        reference = find_reference_model(study, row)
        return {
            "policy_logprobs": logprobs_stage(f"logprobs.{row.name}.{domain}", row.training, pairs, ("test",)),
            "reference_logprobs": logprobs_stage(
                f"logprobs.{row.name}-reference.{domain}", reference, pairs, ("test",)
            ),
        }
    if row.predictions is not None and row.name != "weak_model":
        dependencies = AnnotatorDependencies(engine_models={"weak": row.training or study.models.student})
        name = f"predict.{row.name}.{domain}"
        return {"predictions": annotate_stage(name, Prompted(), pairs, dependencies, split_name="test")}
    return {}
