"""What is measured of the rows' answers besides their gold rewards: their meaning, and how far a policy has moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.config.study import Study
from trimtab.pipeline.plan.model import RowStages
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_models import ModelSource
from trimtab.pipeline.stages.embed import preferred_embeddings_stage, response_embeddings_stage
from trimtab.pipeline.stages.kl import kl_stage

PREFERRED_RESPONSES = "preferred_responses"


@dataclass(frozen=True, kw_only=True)
class ResponseMetricStages:
    """`vectors` by row, and under `PREFERRED` those of the responses that people preferred; `divergences` by row."""

    embeddings: Mapping[str, Stage] = field(default_factory=dict)
    kl_to_reference: Mapping[str, Stage] = field(default_factory=dict)


def build_response_metric_stages(study: Study, split: Stage, rows: Sequence[RowStages]) -> ResponseMetricStages:
    """The stages that the study asks for, of rows that answered."""
    return ResponseMetricStages(
        embeddings=_embedding_stages(study, split, rows),
        kl_to_reference={row.name: stage for row in rows if study.kl_to_reference and (stage := _kl_stage(study, row))},
    )


def _embedding_stages(study: Study, split: Stage, rows: Sequence[RowStages]) -> dict[str, Stage]:
    asked = study.response_similarity
    answering = [(row.name, row.completions) for row in rows if row.completions is not None]
    if asked is None or not answering:
        return {}
    found = {name: response_embeddings_stage(f"embeddings.{name}", asked, answers) for name, answers in answering}
    return {PREFERRED_RESPONSES: preferred_embeddings_stage(f"embeddings.{PREFERRED_RESPONSES}", asked, split), **found}


def _kl_stage(study: Study, row: RowStages) -> Stage | None:
    """Of a row that was aligned: `base` and `sft` have no reference that they moved from."""
    if row.training is None or row.reference_logprobs is None or row.completions is None:
        return None
    as_published = study.models.weak if row.name == "weak_model" else study.models.student
    began: ModelSource = row.reference_logprobs.input_stages.get("model", as_published)
    return kl_stage(f"kl.{row.name}", row.training, began, row.completions)
