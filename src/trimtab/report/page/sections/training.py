"""Training curves, a panel for each training."""

from __future__ import annotations

from trimtab.report.page.curve_figures import draw_training_curve
from trimtab.report.page.sections.section import Figure, PageContents, Section

_KIND_TITLES = {
    "sft": "Supervised fine-tuning",
    "dpo": "Preference optimization (DPO and variants)",
    "preference-model": "Preference models",
    "study-reward-model": "Reward models of scorers",
    "reward-model": "Reward models of annotators",
}


def build_training_section(contents: PageContents) -> Section | None:
    """The curves, grouped by kind."""
    drawn = [
        (curve.kind, Figure(name=f"training-{curve.stage}", title=_format_title(curve.stage, curve.finished), svg=svg))
        for curve in contents.report.training_curves
        if (svg := draw_training_curve(curve))
    ]
    if not drawn:
        return None
    groups = [
        (_KIND_TITLES.get(kind, kind), [figure for figure_kind, figure in drawn if figure_kind == kind])
        for kind in dict.fromkeys(kind for kind, _ in drawn)
    ]
    return Section(
        id="training",
        title="Training",
        tab="Training",
        intro="Metrics of each step on that step's examples, as logged. Long trainings are averaged over windows of steps.",
        figures=tuple(figure for _, figure in drawn),
        template="training",
        values={"groups": groups},
    )


def _format_title(stage: str, finished: bool) -> str:
    return stage if finished else f"{stage}, not finished"
