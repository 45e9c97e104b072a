"""A study made of sources of pairs, for commands that label or evaluate pairs without training a student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.config.study import Arm, Models, Study
from trimtab.core.component import Component
from trimtab.data.split import SPLIT_NAMES, SplitSettings
from trimtab.models.config import Model
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.split import split_stage

# The weak model if no study names one: the built-in model.
DEFAULT_WEAK_MODEL = Model(base="smollm2-135m-instruct")


def build_ad_hoc_study(
    name: str,
    source: Component,
    arms: Mapping[str, Arm],
    base_study: Study | None = None,
    max_length: int | None = None,
) -> Study:
    """A study with these arms. Its weak model, training, seed and `max_length` are those of `base_study`, or the defaults."""
    changes: dict[str, Any] = {"data": source, "arms": arms, "scorers": {}}
    if max_length is not None:
        changes["max_length"] = max_length
    if base_study is None:
        return Study(name=name, models=Models(weak=DEFAULT_WEAK_MODEL, student=DEFAULT_WEAK_MODEL), **changes)
    return base_study.model_copy(update=changes)


def build_file_split(study: Study, *sources: Component) -> Stage:
    """Uses the sources as splits, in the order `labeled`, `unlabeled`, `test`; later splits may be missing."""
    splits = dict(zip(SPLIT_NAMES, sources, strict=False))
    models = {"weak": study.models.weak} if study.length_tokenizer is None else {"declared": study.length_tokenizer}
    return split_stage(splits, SplitSettings(), study.max_length, models)
