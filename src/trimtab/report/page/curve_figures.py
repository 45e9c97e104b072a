"""Training curves as SVG, one panel per metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.report.collect.training_curves import TrainingCurve
from trimtab.report.page.figures import ARM_COLOR, GRID_COLOR, MATPLOTLIB_STYLE, create_panels, render_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PLOTTED_METRICS = ("loss", "accuracy")
_FIGURE_WIDTH = 3.6  # inches


def draw_training_curve(curve: TrainingCurve) -> str:
    """Loss and accuracy by step, if they were logged; empty if neither was."""
    metrics = [name for name in _PLOTTED_METRICS if name in curve.values]
    if not metrics:
        return ""
    import matplotlib  # noqa: PLC0415

    with matplotlib.rc_context(MATPLOTLIB_STYLE):
        figure, panels = create_panels(0.5 + 1.15 * len(metrics), rows=len(metrics), width=_FIGURE_WIDTH)
        for axes, name in zip(panels, metrics, strict=True):
            _draw_line(axes, curve, name)
        for axes in panels[:-1]:
            axes.tick_params(labelbottom=False)
        panels[-1].set_xlabel("step")
        title = f"Training of {curve.stage}: {' and '.join(metrics)} by step"
        return render_svg(figure, f"training-{curve.stage}", title)


def _draw_line(axes: Axes, curve: TrainingCurve, name: str) -> None:
    points = [(step, y) for step, y in zip(curve.steps, curve.values[name], strict=True) if y is not None]
    marker = "o" if len(points) == 1 else ""
    axes.plot([step for step, _ in points], [y for _, y in points], color=ARM_COLOR, linewidth=1.8, marker=marker)
    axes.set_ylabel(name)
    axes.set_xlim(0, max(curve.steps[-1], 1))
    if name == "accuracy":
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.5, 1])
    axes.locator_params(axis="x", nbins=5, integer=True)
    if name != "accuracy":
        axes.locator_params(axis="y", nbins=4)
    axes.grid(visible=True, axis="y", color=GRID_COLOR, linewidth=0.8)
