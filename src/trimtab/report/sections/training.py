"""How training went, a panel for each model that was trained."""

from __future__ import annotations

from trimtab.report.curve_figures import curve_figure
from trimtab.report.sections.section import Contents, Figure, Section

_KINDS = {
    "sft": "Supervised fine-tuning",
    "dpo": "Preferences (DPO and its kin)",
    "preference": "Learning to say which response is better",
    "reward": "Reward models",
}


def training(contents: Contents) -> Section | None:
    """Trainings of a kind stand together, since their figures can be compared."""
    drawn = [
        (curve, Figure(name=f"training-{curve.stage}", title=_title(curve.stage, curve.finished), svg=svg))
        for curve in contents.report.curves
        if (svg := curve_figure(curve))
    ]
    if not drawn:
        return None
    kinds = dict.fromkeys(curve.kind for curve, _ in drawn)
    groups = [(_KINDS.get(kind, kind), [figure for curve, figure in drawn if curve.kind == kind]) for kind in kinds]
    figures = tuple(figure for _, figure in drawn)
    return Section(id="training", title="Training", tab="Training", values={"groups": groups}, figures=figures)


def _title(stage: str, finished: bool) -> str:
    return stage if finished else f"{stage}, not finished"
