"""Stages that measure responses besides their rewards: similarities, and the KL divergence from the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.config.names import PREFERRED_RESPONSES
from trimtab.config.study import Study
from trimtab.pipeline.plan.model import RowStages
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_models import ModelSource
from trimtab.pipeline.stages.embed import preferred_embeddings_stage, response_embeddings_stage
from trimtab.pipeline.stages.kl import kl_stage
from trimtab.pipeline.stages.learned_similarity import learned_similarity_stage


@dataclass(frozen=True, kw_only=True)
class ResponseMetricStages:
    """Stages by row. `embeddings` also has the human-preferred responses, under `PREFERRED_RESPONSES`."""

    embeddings: Mapping[str, Stage] = field(default_factory=dict)
    learned_similarities: Mapping[str, Stage] = field(default_factory=dict)
    kl_to_reference: Mapping[str, Stage] = field(default_factory=dict)


def build_response_metric_stages(study: Study, split: Stage, rows: Sequence[RowStages]) -> ResponseMetricStages:
    """The stages that the study requests, for the rows that have responses."""
    kl_stages = {row.name: stage for row in rows if (stage := _kl_stage(study, row)) is not None}
    return ResponseMetricStages(
        embeddings=_embedding_stages(study, split, rows),
        learned_similarities=_learned_similarity_stages(study, split, rows),
        kl_to_reference=kl_stages if study.kl_to_reference else {},
    )


def _embedding_stages(study: Study, split: Stage, rows: Sequence[RowStages]) -> dict[str, Stage]:
    encoder = study.response_similarity.encoder if study.response_similarity else None
    completions = _list_completions(rows)
    if encoder is None or not completions:
        return {}
    preferred = preferred_embeddings_stage(f"embeddings.{PREFERRED_RESPONSES}", encoder, split)
    responses = {
        name: response_embeddings_stage(f"embeddings.{name}", encoder, stage) for name, stage in completions.items()
    }
    return {PREFERRED_RESPONSES: preferred, **responses}


def _learned_similarity_stages(study: Study, split: Stage, rows: Sequence[RowStages]) -> dict[str, Stage]:
    regressor = study.response_similarity.regressor if study.response_similarity else None
    if regressor is None:
        return {}
    return {
        name: learned_similarity_stage(f"similarity.{name}", regressor, split, stage)
        for name, stage in _list_completions(rows).items()
    }


def _list_completions(rows: Sequence[RowStages]) -> dict[str, Stage]:
    """The responses of every row that has some."""
    return {row.name: row.completions for row in rows if row.completions is not None}


def _kl_stage(study: Study, row: RowStages) -> Stage | None:
    """Of an aligned row; `base` and `sft` have no reference."""
    if row.training is None or row.reference_logprobs is None or row.completions is None:
        return None
    return kl_stage(f"kl.{row.name}", find_reference_model(study, row), row.completions)


def find_reference_model(study: Study, row: RowStages) -> ModelSource:
    """The model that an aligned row started from."""
    published = study.models.weak if row.name == "weak_model" else study.models.student
    if row.reference_logprobs is None:
        return published
    return row.reference_logprobs.input_stages.get("model", published)
