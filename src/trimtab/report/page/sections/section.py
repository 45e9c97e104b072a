"""The value classes of page sections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trimtab.report.model import Report
from trimtab.report.page.pair_browser import MAX_PAIR_BYTES, PairBrowserData
from trimtab.report.table import Table

Tab = Literal["Results", "Labels", "Training", "Students", "Pairs", "Cost", "Study"]
# In page order.
TABS: tuple[Tab, ...] = ("Results", "Labels", "Training", "Students", "Pairs", "Cost", "Study")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`svg` is one SVG element in the page's colors; `name` is the file name in `figures/`, without the suffix."""

    name: str
    title: str
    svg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section of a tab. Without a `title` it has no heading.

    The default template shows `intro`, `figures` and `tables`. Another one, `templates/sections/TEMPLATE.html.j2`, also gets
    `values`. `figures` are written to files, too. The page defines the metrics named in `metrics`.
    """

    id: str
    title: str
    tab: Tab
    intro: str = ""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    template: str = "default"
    values: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContents:
    """What sections are built from. `max_pair_bytes` limits the size of the embedded pairs."""

    report: Report
    pairs: PairBrowserData | None = None
    max_pair_bytes: int = MAX_PAIR_BYTES
