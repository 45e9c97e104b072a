"""The request of an audit: the annotator, its training pairs, and the pairs it is evaluated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from trimtab.annotators.prompted import Prompted
from trimtab.config.study import Arm, Study
from trimtab.core.component import Component
from trimtab.core.engine_configs import get_requirements
from trimtab.core.runtime import Runtime
from trimtab.engines.transformers import Transformers
from trimtab.errors import StudyError
from trimtab.pipeline.plan.ad_hoc_study import build_ad_hoc_study, build_file_split
from trimtab.pipeline.preflight import prefetch_models
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.annotate import as_annotator
from trimtab.pipeline.stages.cross_fit import MIN_CROSS_FIT_PAIRS
from trimtab.stats.calibration import CalibrationMethod
from trimtab.workflows.audit.plan import AUDITED_ARM, REFERENCE_ARM
from trimtab.workflows.pair_files import build_pair_file

# The points of the learning curve: the number of available training pairs divided by each.
CURVE_DIVISORS = (8, 4, 2)


@dataclass(frozen=True, kw_only=True)
class AuditRequest:
    """What to audit.

    `labeled` holds the evaluation pairs, all of them or a random sample of `max_pairs`. The annotator is evaluated by
    cross-fitting in `folds` folds, or after training on `train_on` (a random sample of `max_train_pairs` of it). `unlabeled`
    (a random sample of `max_unlabeled` of it) holds pairs for which the accuracy of labels is estimated.

    `source_study` supplies the weak model, its training and the seed. `reference_model` is prompted, without training, on
    `reference_pairs` of the evaluation pairs. `learning_curve` requests the learning curve even if each point needs training.
    Pairs with more than `max_length` tokens are excluded; None means the study's limit, or 512. `data_settings` are those of
    the source `file`, for all files; the unlabeled file need not have the column of the labels.
    """

    labeled: Path
    kind: str
    annotator: Component
    train_on: Path | None = None
    max_train_pairs: int | None = None
    max_pairs: int | None = None
    unlabeled: Path | None = None
    max_unlabeled: int | None = None
    reference_model: str | None = None
    reference_pairs: int = 200
    source_study: Study | None = None
    folds: int = 5
    method: CalibrationMethod = "temperature"
    learning_curve: bool | None = None
    max_length: int | None = None
    data_settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_train_pairs is not None and self.train_on is None:
            raise StudyError("--max-train-pairs: requires --train-on FILE")
        if self.max_unlabeled is not None and self.unlabeled is None:
            raise StudyError("--max-unlabeled: requires --unlabeled FILE")
        if as_annotator(self.annotator).requirements().arms:
            raise StudyError(f"annotator {self.kind}: reads the labels of other arms, which exist only in a study")

    @cached_property
    def study(self) -> Study:
        """The audit as a study that only labels pairs."""
        arms = {AUDITED_ARM: Arm(annotator=self.annotator, labels_only=True)}
        if self.reference_model:
            arms[REFERENCE_ARM] = Arm(
                annotator=Prompted(weak=Transformers(model=self.reference_model)), labels_only=True
            )
        return build_ad_hoc_study(
            "audit", build_pair_file(self.labeled, self.data_settings), arms, self.source_study, self.max_length
        )

    @property
    def training_source(self) -> str:
        return str(self.labeled if self.train_on is None else self.train_on)

    def build_split_stage(self) -> Stage:
        """Splits the files: training pairs first, then evaluation pairs if in a separate file, then unlabeled pairs."""
        columns = self.data_settings.get("columns") or {}
        unlabeled = {**self.data_settings, "columns": {**columns, "label": None}} if "label" in columns else None
        sources = (
            (self.train_on, self.data_settings, self.max_train_pairs),
            (self.labeled, self.data_settings, self.max_pairs),
            (self.unlabeled, unlabeled or self.data_settings, self.max_unlabeled),
        )
        files = [build_pair_file(path, settings, limit) for path, settings, limit in sources if path is not None]
        return build_file_split(self.study, *files)

    def curve_sizes(self, count: int) -> Sequence[int]:
        """The points of the learning curve below `count` labeled pairs; empty without a learning curve."""
        if not self._wants_learning_curve:
            return ()
        return [
            size
            for divisor in CURVE_DIVISORS
            if (size := self.count_training_pairs(count) // divisor) >= MIN_CROSS_FIT_PAIRS
        ]

    def count_training_pairs(self, count: int) -> int:
        """The number of training pairs (per fold with cross-fitting) for `count` labeled pairs."""
        return count if self.train_on is not None else count * (self.folds - 1) // self.folds

    def list_components(self) -> list[tuple[str, str, Component]]:
        """The annotators, each after its name in messages and its key in the settings of a stage."""
        names = {AUDITED_ARM: f"annotator {self.kind}", REFERENCE_ARM: f"--reference-model {self.reference_model}"}
        return [(names[arm], "annotator", self.study.arms[arm].annotator) for arm in self.study.arms]

    def prefetch(self, runtime: Runtime) -> None:
        prefetch_models(self.study, runtime)

    @property
    def _wants_learning_curve(self) -> bool:
        return (
            get_requirements(self.annotator).features is not None
            if self.learning_curve is None
            else self.learning_curve
        )
