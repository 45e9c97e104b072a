"""How training went, a panel for each model that was trained."""

from __future__ import annotations

from trimtab.report.page.curve_figures import draw_training_curve
from trimtab.report.page.sections.section import Figure, PageContents, Section

_KIND_TITLES = {
    "sft": "Supervised fine-tuning",
    "dpo": "Preferences (DPO and its kin)",
    "preference": "Learning to say which response is better",
    "reward": "Reward models",
}


def build_training_section(contents: PageContents) -> Section | None:
    """Trainings of a kind stand together, since their figures can be compared."""
    drawn = [
        (curve, Figure(name=f"training-{curve.stage}", title=_format_title(curve.stage, curve.finished), svg=svg))
        for curve in contents.report.training_curves
        if (svg := draw_training_curve(curve))
    ]
    if not drawn:
        return None
    kinds = dict.fromkeys(curve.kind for curve, _ in drawn)
    groups = [
        (_KIND_TITLES.get(kind, kind), [figure for curve, figure in drawn if curve.kind == kind]) for kind in kinds
    ]
    figures = tuple(figure for _, figure in drawn)
    return Section(id="training", title="Training", tab="Training", values={"groups": groups}, figures=figures)


def _format_title(stage: str, finished: bool) -> str:
    return stage if finished else f"{stage}, not finished"
