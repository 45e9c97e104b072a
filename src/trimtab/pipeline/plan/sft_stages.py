"""The SFT of a model before DPO: on preferred responses of the labeled pairs, or on a source of instructions."""

from __future__ import annotations

from trimtab.config.study import Study
from trimtab.config.training import SftSettings
from trimtab.core.component import Component
from trimtab.models.config import Model
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_models import ModelSource
from trimtab.pipeline.stages.train_sft import instruction_sft_stage, sft_stage


def plan_sft(study: Study, name: str, model: Model, split: Stage, settings: SftSettings | None) -> ModelSource:
    """SFT on the preferred responses of the labeled pairs; without settings, the model as published."""
    return model if settings is None else sft_stage(name, model, split, None, settings, study.seed)


def plan_student_sft(study: Study, split: Stage, full_split: Stage, name_suffix: str) -> ModelSource:
    """SFT of the student that arms share. On a source of its own, it is the same for every fold of `full_split`."""
    settings, data, student = study.training.sft, study.training.sft_data, study.models.student
    if settings is not None and isinstance(data, Component):
        return instruction_sft_stage("sft.student", student, data, full_split, settings, study.seed, study.max_length)
    return plan_sft(study, f"sft.student{name_suffix}", student, split, settings)
