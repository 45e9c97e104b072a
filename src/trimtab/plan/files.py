"""Files as a study of labels alone: for commands that label or measure pairs without training a student."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trimtab.data.file import File
from trimtab.data.split import Split
from trimtab.lm.weights import Model
from trimtab.stages.split import split_stage
from trimtab.stages.stage import Stage
from trimtab.study import Arm, Models, Study

# The weak model where no study names one: the one that ships.
WEAK = Model(base="smollm2-135m-instruct")


def study_of_files(
    name: str, pairs: Path, arms: Mapping[str, Arm], of: Study | None = None, max_tokens: int | None = None
) -> Study:
    """A study with these arms, whose weak model, training, seed and, where it is None, `max_tokens` are those of the study
    `of`, or the defaults."""
    changed: dict[str, Any] = {"data": File(path=str(pairs)), "arms": arms, "evaluation": {}}
    if max_tokens is not None:
        changed["max_tokens"] = max_tokens
    if of is None:
        return Study(name=name, models=Models(weak=WEAK, student=WEAK), **changed)
    return of.model_copy(update=changed)


def split_of_files(study: Study, *files: File) -> Stage:
    """The files as sides: labeled first, then unlabeled, then test, as many as there are."""
    sources = dict(zip(("labeled", "unlabeled", "test"), files, strict=False))
    return split_stage(sources, Split(), study.max_tokens, {"weak": study.models.weak})
