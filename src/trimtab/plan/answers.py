"""What is measured of the rows' answers besides their gold rewards: their meaning, and how far a policy has moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.plan.parts import ArmStages
from trimtab.stages.divergence import divergence_stage
from trimtab.stages.models import ModelSource
from trimtab.stages.stage import Stage
from trimtab.stages.vectors import answer_vectors_stage, preferred_vectors_stage
from trimtab.study import Study

PREFERRED = "preferred"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """`vectors` by row, and under `PREFERRED` those of the responses that people preferred; `divergences` by row."""

    vectors: Mapping[str, Stage] = field(default_factory=dict)
    divergences: Mapping[str, Stage] = field(default_factory=dict)


def measured(study: Study, split: Stage, rows: Sequence[ArmStages]) -> Measured:
    """The stages that the study asks for, of rows that answered."""
    return Measured(
        vectors=_vectors(study, split, rows),
        divergences={row.name: stage for row in rows if study.divergence and (stage := _divergence(study, row))},
    )


def _vectors(study: Study, split: Stage, rows: Sequence[ArmStages]) -> dict[str, Stage]:
    asked = study.similarity
    answering = [(row.name, row.completions) for row in rows if row.completions is not None]
    if asked is None or not answering:
        return {}
    found = {name: answer_vectors_stage(f"vectors.{name}", asked, answers) for name, answers in answering}
    return {PREFERRED: preferred_vectors_stage(f"vectors.{PREFERRED}", asked, split), **found}


def _divergence(study: Study, row: ArmStages) -> Stage | None:
    """Of a row that was aligned: `base` and `sft` have no reference that they moved from."""
    if row.training is None or row.reference is None or row.completions is None:
        return None
    as_published = study.models.weak if row.name == "weak_model" else study.models.student
    began: ModelSource = row.reference.needs.get("model", as_published)
    return divergence_stage(f"divergence.{row.name}", row.training, began, row.completions)
