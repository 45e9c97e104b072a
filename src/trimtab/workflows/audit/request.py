"""What an audit is asked: which annotator, what it learns from, and what it is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trimtab.annotators.prompted import Prompted
from trimtab.config.study import Arm, Study
from trimtab.core.component import Component
from trimtab.core.interfaces import UsesFeatures
from trimtab.core.runtime import Runtime
from trimtab.engines.transformers import Transformers
from trimtab.errors import StudyError
from trimtab.pipeline.preflight import prefetch_models
from trimtab.pipeline.plan.ad_hoc_study import build_ad_hoc_study, build_file_split
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.annotate import as_annotator
from trimtab.pipeline.stages.cross_fit import MIN_CROSS_FIT_PAIRS
from trimtab.sources.file import File
from trimtab.stats.calibration import CalibrationMethod
from trimtab.workflows.audit.plan import AUDITED_ARM, REFERENCE_ARM

# The learning curve's points, as parts of all that the annotator can learn from.
CURVE_DIVISORS = (8, 4, 2)


@dataclass(frozen=True, kw_only=True)
class AuditRequest:
    """`labeled` is what is measured, all of it or a sample of `limit` pairs: by cross-fitting in `folds`, or after learning
    from `fit` alone (`fit_limit` pairs of it).

    `study` gives the weak model, its training and the seed; `strong` a model that is asked, untrained, about `strong_pairs` of
    the measured pairs. `curve` asks for the learning curve where each of its points costs a training.
    Pairs of more than `max_tokens` are left out; None stands for the study's bound, or 512.
    """

    labeled: Path
    kind: str
    annotator: Component
    train_on: Path | None = None
    max_train_pairs: int | None = None
    max_pairs: int | None = None
    unlabeled: Path | None = None
    reference_model: str | None = None
    reference_pairs: int = 200
    source_study: Study | None = None
    folds: int = 5
    method: CalibrationMethod = "temperature"
    learning_curve: bool | None = None
    max_length: int | None = None

    def __post_init__(self) -> None:
        if self.max_train_pairs is not None and self.train_on is None:
            raise StudyError("--fit-limit: it says how many pairs of --fit FILE to learn from, and there is no --fit")
        if as_annotator(self.annotator).required_arms():
            raise StudyError(f"--with {self.kind}: it reads the labels of other arms, which only a study has")

    @cached_property
    def study(self) -> Study:
        """The audit as a study of labels alone."""
        arms = {AUDITED_ARM: Arm(annotator=self.annotator, labels_only=True)}
        if self.reference_model:
            arms[REFERENCE_ARM] = Arm(annotator=Prompted(weak=Transformers(model=self.reference_model)), labels_only=True)
        return build_ad_hoc_study("audit", self.labeled, arms, self.source_study, self.max_length)

    @property
    def training_source(self) -> str:
        return str(self.labeled if self.train_on is None else self.train_on)

    def build_split_stage(self) -> Stage:
        """What is learned from is labeled; then comes what is measured, where it is another file; then the pool."""
        asked = ((self.train_on, self.max_train_pairs), (self.labeled, self.max_pairs), (self.unlabeled, None))
        files = [File(path=str(path), limit=limit) for path, limit in asked if path is not None]
        return build_file_split(self.study, *files)

    def curve_sizes(self, count: int) -> Sequence[int]:
        """The points of the learning curve below all labeled pairs; none where they are not asked for."""
        if not self._wants_learning_curve:
            return ()
        return [
            size for part in CURVE_DIVISORS if (size := self.count_training_pairs(count) // part) >= MIN_CROSS_FIT_PAIRS
        ]

    def count_training_pairs(self, count: int) -> int:
        """From how many of so many labeled pairs the annotator learns, in each fold where there are folds."""
        return count if self.train_on is not None else count * (self.folds - 1) // self.folds

    def prefetch(self, runtime: Runtime) -> None:
        prefetch_models(self.study, runtime)

    @property
    def _wants_learning_curve(self) -> bool:
        return isinstance(self.annotator, UsesFeatures) if self.learning_curve is None else self.learning_curve
