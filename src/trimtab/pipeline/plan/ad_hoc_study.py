"""Files as a study of labels alone: for commands that label or measure pairs without training a student."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trimtab.config.study import Arm, Models, Study
from trimtab.data.split import SplitSettings
from trimtab.models.config import Model
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.split import split_stage
from trimtab.sources.file import File

# The weak model where no study names one: the one that ships.
DEFAULT_WEAK_MODEL = Model(base="smollm2-135m-instruct")


def build_ad_hoc_study(
    name: str, pairs: Path, arms: Mapping[str, Arm], base_study: Study | None = None, max_length: int | None = None
) -> Study:
    """A study with these arms, whose weak model, training, seed and, where it is None, `max_tokens` are those of the study
    `of`, or the defaults."""
    changed: dict[str, Any] = {"data": File(path=str(pairs)), "arms": arms, "scorers": {}}
    if max_length is not None:
        changed["max_length"] = max_length
    if base_study is None:
        return Study(name=name, models=Models(weak=DEFAULT_WEAK_MODEL, student=DEFAULT_WEAK_MODEL), **changed)
    return base_study.model_copy(update=changed)


def build_file_split(study: Study, *files: File) -> Stage:
    """The files as sides: labeled first, then unlabeled, then test, as many as there are."""
    sources = dict(zip(("labeled", "unlabeled", "test"), files, strict=False))
    return split_stage(sources, SplitSettings(), study.max_length, {"weak": study.models.weak})
