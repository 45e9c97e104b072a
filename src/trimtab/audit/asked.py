"""What an audit is asked: which annotator, what it learns from, and what it is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trimtab.annotators.prompted import Prompted
from trimtab.calibration import Method
from trimtab.components import Component
from trimtab.data.file import File
from trimtab.engines.transformers import Transformers
from trimtab.errors import StudyError
from trimtab.plan.audited import AUDITED, STRONG
from trimtab.plan.files import split_of_files, study_of_files
from trimtab.protocols import ReadsFeatures, Runtime
from trimtab.run import fetch
from trimtab.stages.annotate import as_annotator
from trimtab.stages.held_out import FEWEST
from trimtab.stages.stage import Stage
from trimtab.study import Arm, Study

# The learning curve's points, as parts of all that the annotator can learn from.
PARTS = (8, 4, 2)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """`labeled` is what is measured, all of it or a sample of `limit` pairs: by cross-fitting in `folds`, or after learning
    from `fit` alone (`fit_limit` pairs of it).

    `study` gives the weak model, its training and the seed; `strong` a model that is asked, untrained, about `strong_pairs` of
    the measured pairs. `curve` asks for the learning curve where each of its points costs a training.
    Pairs of more than `max_tokens` are left out; None stands for the study's bound, or 512.
    """

    labeled: Path
    kind: str
    annotator: Component
    fit: Path | None = None
    fit_limit: int | None = None
    limit: int | None = None
    pool: Path | None = None
    strong: str | None = None
    strong_pairs: int = 200
    of: Study | None = None
    folds: int = 5
    method: Method = "temperature"
    curve: bool | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.fit_limit is not None and self.fit is None:
            raise StudyError("--fit-limit: it says how many pairs of --fit FILE to learn from, and there is no --fit")
        if as_annotator(self.annotator).arms():
            raise StudyError(f"--with {self.kind}: it reads the labels of other arms, which only a study has")

    @cached_property
    def study(self) -> Study:
        """The audit as a study of labels alone."""
        arms = {AUDITED: Arm(annotator=self.annotator, train=False)}
        if self.strong:
            arms[STRONG] = Arm(annotator=Prompted(weak=Transformers(model=self.strong)), train=False)
        return study_of_files("audit", self.labeled, arms, self.of, self.max_tokens)

    @property
    def learned_from(self) -> str:
        return str(self.labeled if self.fit is None else self.fit)

    def split(self) -> Stage:
        """What is learned from is labeled; then comes what is measured, where it is another file; then the pool."""
        asked = ((self.fit, self.fit_limit), (self.labeled, self.limit), (self.pool, None))
        files = [File(path=str(path), limit=limit) for path, limit in asked if path is not None]
        return split_of_files(self.study, *files)

    def sizes(self, count: int) -> Sequence[int]:
        """The points of the learning curve below all labeled pairs; none where they are not asked for."""
        if not self._curve:
            return ()
        return [size for part in PARTS if (size := self.learned(count) // part) >= FEWEST]

    def learned(self, count: int) -> int:
        """From how many of so many labeled pairs the annotator learns, in each fold where there are folds."""
        return count if self.fit is not None else count * (self.folds - 1) // self.folds

    def fetch(self, runtime: Runtime) -> None:
        fetch(self.study, runtime)

    @property
    def _curve(self) -> bool:
        return isinstance(self.annotator, ReadsFeatures) if self.curve is None else self.curve
