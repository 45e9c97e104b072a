"""The cost of every stage."""

from __future__ import annotations

from trimtab.report.duration import format_duration
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.table import Column, Table, TableRow


def build_cost_section(contents: PageContents) -> Section | None:
    """A row per stage, unfinished stages last, and the totals in the intro."""
    stages = contents.report.stage_costs
    if not stages:
        return None
    seconds, tokens = sum(stage.seconds for stage in stages), sum(stage.tokens for stage in stages)
    finished = [
        TableRow(
            name=stage.name,
            cells=(
                format_duration(stage.seconds),
                f"{stage.tokens:,}",
                "cached" if stage.from_cache else "",
                stage.detail,
            ),
        )
        for stage in stages
    ]
    unfinished = [
        TableRow(name=folder.rpartition("-")[0], cells=("–", "–", "", "not finished"))
        for folder in contents.report.missing_stages
    ]
    return Section(
        id="cost",
        title="Cost",
        tab="Cost",
        intro=f"Total: {format_duration(seconds)} and {tokens:,} tokens in {len(stages)} stages. A cached stage was finished "
        "before this run; its time is from the run that executed it.",
        tables=(
            Table(
                title="Cost by stage",
                row_title="Stage",
                columns=(
                    Column(title="Time", numeric=True),
                    Column(title="Tokens", numeric=True),
                    Column(title="Cached"),
                    Column(title="Detail"),
                ),
                rows=(*finished, *unfinished),
            ),
        ),
    )
