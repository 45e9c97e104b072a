"""How well rows choose on pairs of other domains: what training on one does to the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.annotators.prompted import Prompted
from trimtab.plan.parts import ArmStages
from trimtab.stages.annotate import Reads, annotate_stage
from trimtab.stages.logprobs import logprobs_stage
from trimtab.stages.models import ModelSource
from trimtab.stages.split import elsewhere_stage
from trimtab.stages.stage import Stage
from trimtab.study import Study

# What choices on a domain are read from: both tables, or predictions.
Parts = Mapping[str, Stage]


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """`pairs` by domain, and by row and domain the stages from which the row's choices are read."""

    pairs: Mapping[str, Stage] = field(default_factory=dict)
    choices: Mapping[str, Mapping[str, Parts]] = field(default_factory=dict)


def elsewhere(study: Study, split: Stage, rows: Sequence[ArmStages]) -> Elsewhere:
    """The stages that the study asks for, of rows that choose on its own test pairs."""
    models = {"weak": study.models.weak, "student": study.models.student}
    pairs = {
        name: elsewhere_stage(f"pairs.{name}", source, split, study.max_tokens, models)
        for name, source in study.elsewhere.items()
    }
    found = {
        row.name: {name: parts for name, there in pairs.items() if (parts := _parts(study, row, name, there))}
        for row in rows
    }
    return Elsewhere(pairs=pairs, choices={row: domains for row, domains in found.items() if domains})


def _parts(study: Study, row: ArmStages, name: str, there: Stage) -> Parts:
    student = row.name != "weak_model"
    as_published: ModelSource = study.models.student if student else study.models.weak
    if row.policy is not None and row.reference is not None and row.training is not None:
        began: ModelSource = row.reference.needs.get("model", as_published)
        return {
            "policy": logprobs_stage(f"logprobs.{row.name}.{name}", row.training, there, ("test",)),
            "reference": logprobs_stage(f"logprobs.{row.name}-reference.{name}", began, there, ("test",)),
        }
    if row.predictions is not None and student:
        asked = Reads(asked={"weak": row.training or as_published})
        return {"predictions": annotate_stage(f"predict.{row.name}.{name}", Prompted(), there, asked, side="test")}
    return {}
