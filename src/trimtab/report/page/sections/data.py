"""The splits of the pairs."""

from __future__ import annotations

from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.table import Column, Table, TableRow


def build_data_section(contents: PageContents) -> Section | None:
    """A row per split."""
    splits = contents.report.data
    if not splits:
        return None
    table = Table(
        title="Data by split",
        row_title="Split",
        columns=(
            Column(title="Pairs", numeric=True),
            Column(title="Prompts", numeric=True),
            Column(title="Failed rows", numeric=True),
            Column(title="Note"),
        ),
        rows=tuple(
            TableRow(
                name=split.name,
                cells=(f"{split.pairs:,}", f"{split.prompts:,}", f"{split.failures:,}", split.note),
            )
            for split in splits
        ),
    )
    return Section(id="data", title="Data", tab="Study", tables=(table,))
