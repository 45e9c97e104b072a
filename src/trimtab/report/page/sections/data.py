"""The splits of the pairs."""

from __future__ import annotations

from trimtab.report.page.sections.section import PageContents, Section


def build_data_section(contents: PageContents) -> Section | None:
    """A row a split."""
    splits = contents.report.data
    return Section(id="data", title="Data", tab="Study", values={"splits": splits}) if splits else None
