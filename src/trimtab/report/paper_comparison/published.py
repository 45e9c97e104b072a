"""The published numbers of a paper, and how a run's counterpart of each is computed: the YAML files next to the studies.

A row of results is named `ARM`, or `VARIANT/ARM` if the study has variants.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from trimtab.core.component import Settings, validate_settings
from trimtab.core.yaml_text import parse_yaml
from trimtab.errors import StudyError


class Expectation(Settings):
    """What a claim expects of the run's value. Exactly one kind of expectation is set.

    With `share_of`, its number is a share of the absolute difference of two rows, so that it has no unit.
    """

    above: float | None = Field(None, description="the value is above this one")
    below: float | None = Field(None, description="the value is below this one")
    between: tuple[float, float] | None = Field(None, description="the value is between these two, both excluded")
    within: float | None = Field(None, gt=0, description="the value is at most this share of a difference, up or down")
    share_of: tuple[str, str] | None = Field(None, description="a row and the row that is subtracted from it")

    @model_validator(mode="after")
    def _require_one_kind(self) -> Self:
        kinds = [name for name in ("above", "below", "between", "within") if getattr(self, name) is not None]
        if len(kinds) != 1:
            raise ValueError(
                f"expected exactly one of above, below, between and within, got {', '.join(kinds) or 'none'}"
            )
        if self.within is not None and self.share_of is None:
            raise ValueError("within needs share_of, two rows")
        if self.between is not None and self.share_of is not None:
            raise ValueError("share_of: unused with between")
        return self


class PublishedNumber(Settings):
    """One number of the paper. `paper` is null if the paper prints none."""

    name: str = Field(description="as in the paper")
    paper: float | None = None
    expect: Expectation | None = Field(None, description="null: a difference is expected to have the paper's sign")


class RowNumber(PublishedNumber):
    """A metric of a row."""

    row: str
    metric: str = "gold_reward"


class DifferenceNumber(RowNumber):
    """A row minus another one, paired by prompt or pair."""

    minus: str


class LabelNumber(PublishedNumber):
    """A metric of the labels of two arms, as `trimtab compare-labels` computes it on all, matching or mismatching pairs.

    `agreement_gain` is the agreement on the half of the pairs with the larger gap in gold reward, minus that on the other half.
    """

    labels: str = "weak"
    compared_with: str = "human"
    pairs: Literal["all", "match", "mismatch"] = "all"
    metric: str


class JudgeNumber(PublishedNumber):
    """A metric of the study's judge: of a row's responses if `row` is set, else of all its verdicts."""

    row: str | None = None
    metric: str


class SeedNumber(PublishedNumber):
    """A row's mean or variance over the study's variants, or the mean of its difference to another row."""

    row: str
    minus: str | None = None
    statistic: Literal["mean", "variance"] = "mean"
    metric: str = "gold_reward"


class SimilarityNumber(PublishedNumber):
    """A correlation of an arm's similarities to the human-preferred responses with those of `human` or `weak_model`."""

    row: str = "weak"
    metric: Literal["with_human", "with_weak_model", "difference"]


class PublishedTable(Settings):
    """A table or a figure of the paper, and the study whose runs are compared with it."""

    title: str
    place: str = Field(description="where it is in the paper")
    study: str = Field(description="the `name` of the study")
    note: str = ""
    rows: tuple[RowNumber, ...] = ()
    differences: tuple[DifferenceNumber, ...] = ()
    labels: tuple[LabelNumber, ...] = ()
    judges: tuple[JudgeNumber, ...] = ()
    seeds: tuple[SeedNumber, ...] = ()
    similarities: tuple[SimilarityNumber, ...] = ()

    @property
    def numbers(self) -> tuple[PublishedNumber, ...]:
        """All numbers, in table order."""
        return (*self.rows, *self.differences, *self.labels, *self.judges, *self.seeds, *self.similarities)


class PublishedPaper(Settings):
    """A paper and its tables."""

    paper: str
    tables: tuple[PublishedTable, ...]


def load_published_paper(path: Path) -> PublishedPaper:
    """Reads the file. Raises `StudyError` with one line per error."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(
            f"{path}: {error}; expected a YAML file with a paper's numbers, such as published.yaml"
        ) from error
    return validate_settings(PublishedPaper, parse_yaml(text, str(path)), str(path))
