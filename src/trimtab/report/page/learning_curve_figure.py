"""The learning curve of human labels, with the other arms as horizontal lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trimtab.report.collect.label_worth import LabelWorthInfo
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.page.figures import (
    ARM_COLOR,
    GRID_COLOR,
    MATPLOTLIB_STYLE,
    REFERENCE_COLOR,
    create_panels,
    render_svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FIGURE_HEIGHT = 3.6  # inches
_NAME_GAP = 0.06  # of the height of the axes


def draw_learning_curve(infos: Sequence[LabelWorthInfo]) -> str:
    """One metric by the number of human labels, on a logarithmic axis. Each arm's line is thick where its worth may be.

    `infos` are the arms' worths by one metric, with the same curve.
    """
    import matplotlib  # noqa: PLC0415

    info = get_metric_info(infos[0].metric)
    with matplotlib.rc_context(MATPLOTLIB_STYLE):
        figure, (axes,) = create_panels(_FIGURE_HEIGHT)
        counts, values = zip(*((point.num_labels, point.value) for point in infos[0].curve), strict=True)
        axes.set_xscale("log", base=2)
        axes.plot(counts, values, color=REFERENCE_COLOR, marker="o", markersize=7, linewidth=1.8)
        for each in infos:
            _draw_arm(axes, each)
        _write_names(axes, {each.arm: each.value for each in infos})
        axes.set_xticks(counts, labels=[f"{count:,}" for count in counts])
        axes.minorticks_off()
        axes.set_xlabel("human labels")
        axes.set_ylabel(info.label)
        axes.grid(visible=True, axis="y", color=GRID_COLOR, linewidth=0.8)
        return render_svg(figure, f"learning-curve-{info.name}", f"{info.label} by the number of human labels")


def _draw_arm(axes: Axes, info: LabelWorthInfo) -> None:
    worth = info.worth
    low = worth.smallest if worth.low is None else worth.low
    high = worth.largest if worth.high is None else worth.high
    axes.plot([worth.smallest, worth.largest], [info.value] * 2, color=ARM_COLOR, linewidth=0.8)
    axes.plot([low, high], [info.value] * 2, color=ARM_COLOR, linewidth=4, alpha=0.45, solid_capstyle="butt")


def _write_names(axes: Axes, heights: Mapping[str, float]) -> None:
    """The names of the arms at the right of their lines, the upper ones moved up where they would overlap."""
    bottom, top = axes.get_ylim()
    gap, position = _NAME_GAP * (top - bottom), bottom
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        position = max(height, position)
        axes.annotate(
            name,
            (1, position),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
        position += gap
