"""Scatter plots of two rows' similarities to the human-preferred responses, a point per prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trimtab.report.collect.similarities import CEILING_ROW, WEAK_ROW, SimilarityCorrelation
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.page.figures import ARM_COLOR, GRID_COLOR, MATPLOTLIB_STYLE, create_panels, render_svg
from trimtab.report.value_format import format_value
from trimtab.types import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FIGURE_HEIGHT = 6.4  # inches, of two panels


def draw_similarity_scatter(correlation: SimilarityCorrelation) -> str:
    """The arm's similarities against those of `human` (top) and of `weak_model` (bottom); empty without points."""
    if not correlation.points:
        return ""
    import matplotlib  # noqa: PLC0415

    own, human, weak_model = zip(*correlation.points, strict=True)
    with matplotlib.rc_context(MATPLOTLIB_STYLE):
        figure, panels = create_panels(_FIGURE_HEIGHT, rows=2)
        _draw_points(panels[0], own, human, CEILING_ROW, correlation.with_human)
        _draw_points(panels[1], own, weak_model, WEAK_ROW, correlation.with_weak_model)
        panels[1].set_xlabel(f"{get_metric_info(correlation.measure).label} of {correlation.arm}")
        title = (
            f"Similarity to the preferred responses by prompt: {correlation.arm} against {CEILING_ROW} and {WEAK_ROW}"
        )
        return render_svg(figure, f"scatter-{correlation.measure}-{correlation.arm}", title)


def _draw_points(axes: Axes, x: Sequence[float], y: Sequence[float], row: str, correlation: Metric) -> None:
    axes.plot(x, y, color=ARM_COLOR, marker="o", markersize=3.2, alpha=0.45, markeredgewidth=0, linestyle="none")
    axes.set_ylabel(row)
    axes.set_title(f"r = {' '.join(format_value(correlation, get_metric_info('similarity_correlation')))}", fontsize=11)
    axes.grid(visible=True, axis="y", color=GRID_COLOR, linewidth=0.8)
    axes.locator_params(nbins=5)
