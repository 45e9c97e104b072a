"""The results of a run as pandas data frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.config.study import Study
from trimtab.data.split import SPLIT_NAMES
from trimtab.errors import StudyError
from trimtab.report.collect.report import build_report
from trimtab.report.model import Report
from trimtab.report.run_reader import Run, RunRow
from trimtab.storage.schemas import load_completions, load_scores
from trimtab.types import format_conversation

if TYPE_CHECKING:
    from pandas import DataFrame


class RunResults:
    """The results of a run, finished or not. Raises `StoreError` if the folder holds no run."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._run = Run(self.folder)

    @property
    def study(self) -> Study:
        return self._run.study

    @cached_property
    def report(self) -> Report:
        """The values of the report, computed from the run's results."""
        return build_report(self._run)

    @property
    def arms(self) -> list[str]:
        """The names of all arms and baselines, in report order."""
        return [arm.name for arm in self.report.arms]

    def metrics(self) -> DataFrame:
        """One row per arm and metric. Columns: arm, metric, value, low, high, n, n_failed."""
        rows = [
            {"arm": arm.name, "metric": name, **asdict(metric)}
            for arm in self.report.arms
            for name, metric in arm.metrics.items()
        ]
        return _data_frame(rows, ("arm", "metric", "value", "low", "high", "n", "n_failed"))

    def differences(self) -> DataFrame:
        """Paired differences. Columns: metric, arm, baseline, value, low, high, n, n_failed, wins, losses, p_value."""
        rows = [
            {
                "metric": comparison.metric,
                "arm": comparison.arm,
                "baseline": comparison.baseline,
                **asdict(comparison.difference),
                "wins": comparison.wins,
                "losses": comparison.losses,
                "p_value": comparison.p_value,
            }
            for comparison in self.report.comparisons
        ]
        interval = ("value", "low", "high", "n", "n_failed")
        return _data_frame(rows, ("metric", "arm", "baseline", *interval, "wins", "losses", "p_value"))

    def labels(self, arm: str) -> DataFrame:
        """An arm's labels, after calibration and filtering.

        Columns: id, p_a, margin, choice, status, note, prompt_tokens, generated_tokens, seconds, calls. Raises `StudyError` if
        the arm has no labels.
        """
        stage = self._row(arm).labels
        if stage is None:
            raise StudyError(f"arm {arm} has no labels")
        rows = [
            {
                "id": label.pair_id,
                "p_a": label.p_a,
                "margin": label.margin,
                "choice": label.choice,
                "status": label.status,
                "note": label.note,
                "prompt_tokens": label.cost.prompt_tokens,
                "generated_tokens": label.cost.generated_tokens,
                "seconds": label.cost.seconds,
                "calls": label.cost.calls,
            }
            for label in self._run.annotations(stage).values()
        ]
        costs = ("prompt_tokens", "generated_tokens", "seconds", "calls")
        return _data_frame(rows, ("id", "p_a", "margin", "choice", "status", "note", *costs))

    def pairs(self, split: str = "test") -> DataFrame:
        """The pairs of a split: labeled, unlabeled or test. Columns: id, prompt_id, prompt, a, b, human."""
        if split not in SPLIT_NAMES:
            raise StudyError(f"split {split!r}: expected one of: {', '.join(SPLIT_NAMES)}")
        rows = [
            {
                "id": pair.id,
                "prompt_id": pair.prompt_id,
                "prompt": format_conversation(pair.prompt),
                "a": pair.a,
                "b": pair.b,
                "human": pair.human,
            }
            for pair in getattr(self._run, split)
        ]
        return _data_frame(rows, ("id", "prompt_id", "prompt", "a", "b", "human"))

    def completions(self, arm: str) -> DataFrame:
        """An arm's responses to the test prompts, with one column per scorer (`score.NAME`).

        Other columns: prompt_id, prompt, text, n_tokens, finish_reason. Raises `StudyError` if the arm has no responses.
        """
        row = self._row(arm)
        if row.completions is None:
            raise StudyError(f"arm {arm} has no responses")
        scores = {name: load_scores(self._run.artifact(stage)) for name, stage in row.scores.items()}
        rows = [
            {
                "prompt_id": completion.prompt_id,
                "prompt": format_conversation(completion.prompt),
                "text": completion.text,
                "n_tokens": completion.n_tokens,
                "finish_reason": completion.finish_reason,
                **{f"score.{name}": values.get(completion.prompt_id) for name, values in scores.items()},
            }
            for completion in load_completions(self._run.artifact(row.completions))
        ]
        names = [f"score.{name}" for name in scores]
        return _data_frame(rows, ("prompt_id", "prompt", "text", "n_tokens", "finish_reason", *names))

    def _row(self, arm: str) -> RunRow:
        rows = {row.name: row for row in self._run.arms}
        if arm not in rows:
            raise StudyError(f"unknown arm {arm!r} (expected one of: {', '.join(rows)})")
        return rows[arm]

    def __repr__(self) -> str:
        return f"RunResults({str(self.folder)!r})"


def _data_frame(rows: list[dict[str, Any]] | list[Mapping[str, Any]], columns: tuple[str, ...]) -> DataFrame:
    import pandas  # noqa: PLC0415 - takes time to import

    return pandas.DataFrame.from_records(rows, columns=list(columns))
