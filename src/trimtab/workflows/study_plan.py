"""The plan of a study: the stages it will run, the reasons, and time estimates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from trimtab.config.study import Study
from trimtab.core.plain_text import render_plain_text
from trimtab.models.parameter_count import count_parameters
from trimtab.pipeline.dry_run import PlannedStage, format_estimate, plan_dry_run
from trimtab.pipeline.plan import required_models
from trimtab.storage.shared_store import SharedStore


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """All stages of a study in a run folder, in execution order, followed by skipped arms.

    `missing_models` are the names of models whose sizes are unknown because they are not on this disk.
    """

    folder: Path
    stages: tuple[PlannedStage, ...]
    missing_models: tuple[str, ...] = ()

    @classmethod
    def of_study(
        cls, study: Study, folder: Path, store: Path | None = None, earlier: Sequence[StudyPlan] = ()
    ) -> StudyPlan:
        """Plans a study. Runs nothing and changes nothing in the folder.

        `store` is the folder of a shared store, and `earlier` are the plans of studies that use it before this one.
        """
        planned = {stage.fingerprint for plan in earlier for stage in plan.stages if stage.fingerprint}
        shared = None if store is None else SharedStore(store)
        models = {model.base: model for model in required_models(study)}
        missing = tuple(name for name, model in models.items() if count_parameters(model) is None)
        return cls(folder, tuple(plan_dry_run(study, folder, shared, planned)), missing)

    @property
    def to_run(self) -> list[PlannedStage]:
        return [stage for stage in self.stages if stage.state in ("to run", "resume")]

    @property
    def seconds(self) -> float:
        """The estimated time of all stages to run that have an estimate."""
        return sum(stage.seconds for stage in self.to_run if stage.seconds is not None)

    @property
    def summary(self) -> str:
        """`3 stages are done, 30 to run, about 12 min and 2 stages without an estimate yet, in runs/first`."""
        states = [stage.state for stage in self.stages]
        shared = f", {states.count('shared')} shared" if "shared" in states else ""
        done = f"{states.count('done')} stages are done{shared}"
        missing = ", ".join(self.missing_models)
        sizes = f"\nSizes are unknown until these models are downloaded: {missing}" if missing else ""
        return f"{done}, {len(self.to_run)} to run{self._describe_time()}, in {self.folder}{sizes}"

    def _describe_time(self) -> str:
        """The estimate of all stages to run; no number if most of them have no estimate, because it would be far too low."""
        unknown = sum(stage.seconds is None for stage in self.to_run)
        if not self.to_run:
            return ""
        missing = f"{unknown} stage{'s' * (unknown > 1)} without an estimate"
        if 2 * unknown >= len(self.to_run):
            return f", no time estimate yet ({missing})"
        estimate = f", {format_estimate(self.seconds)}"
        return f"{estimate} and {missing} yet" if unknown else estimate

    def render(self) -> Table:
        """A table with one row per stage."""
        table = Table(box=None, pad_edge=False)
        for heading in ("stage", "state", "reason", "time"):
            table.add_column(heading, overflow="fold", justify="right" if heading == "time" else "left")
        for stage in self.stages:
            table.add_row(*map(Text, (stage.stage, stage.state, stage.reason, stage.duration)))
        return table

    def __str__(self) -> str:
        return render_plain_text(Group(self.render(), Text(f"\n{self.summary}")))


def summarize_plans(plans: Sequence[StudyPlan]) -> str:
    """`5 studies: 120 stages to run, about 1.5 h`. Stages that the studies share count once."""
    to_run = [stage for plan in plans for stage in plan.to_run]
    seconds = sum(stage.seconds for stage in to_run if stage.seconds is not None)
    unknown = sum(stage.seconds is None for stage in to_run)
    missing = f" and {unknown} without an estimate yet" if unknown else ""
    return f"{len(plans)} studies: {len(to_run)} stages to run, {format_estimate(seconds)}{missing}"
