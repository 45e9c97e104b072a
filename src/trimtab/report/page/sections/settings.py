"""All settings of the study."""

from __future__ import annotations

from trimtab.report.page.sections.section import PageContents, Section


def build_settings_section(contents: PageContents) -> Section | None:
    """YAML that `trimtab run` accepts."""
    yaml = contents.report.study.yaml
    if not yaml:
        return None
    return Section(id="settings", title="Settings", tab="Study", template="settings", values={"yaml": yaml})
