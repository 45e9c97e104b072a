"""The study's settings in full."""

from __future__ import annotations

from trimtab.report.sections.section import Contents, Section


def settings(contents: Contents) -> Section | None:
    """As YAML, which runs again."""
    yaml = contents.report.study.yaml
    return Section(id="settings", title="Settings", tab="Study", values={"yaml": yaml}) if yaml else None
