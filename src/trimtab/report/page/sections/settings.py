"""The study's settings in full."""

from __future__ import annotations

from trimtab.report.page.sections.section import PageContents, Section


def build_settings_section(contents: PageContents) -> Section | None:
    """As YAML, which runs again."""
    yaml = contents.report.study.yaml
    return Section(id="settings", title="Settings", tab="Study", values={"yaml": yaml}) if yaml else None
