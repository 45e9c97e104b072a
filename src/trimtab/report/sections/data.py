"""The splits of the pairs."""

from __future__ import annotations

from trimtab.report.sections.section import Contents, Section


def data(contents: Contents) -> Section | None:
    """A row a split."""
    splits = contents.report.data
    return Section(id="data", title="Data", tab="Study", values={"splits": splits}) if splits else None
