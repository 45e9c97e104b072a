"""The report as one self-contained HTML file: no network access, one style sheet and one script, both inline."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trimtab.report.collect.trained_rewards import relabel_trained_rewards
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import Report
from trimtab.report.page.pair_browser import count_row_bytes
from trimtab.report.page.sections import SECTIONS
from trimtab.report.page.sections.section import TABS, Figure, PageContents, Section

SCRIPT_FILES = ("tabs.js", "pairs.js")
MAX_PAGE_BYTES = 4_900_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedPage:
    """The page, and the figures on it."""

    html: str
    figures: tuple[Figure, ...]


def render_html(report: Report) -> str:
    """The page without pairs. All text of the report is escaped. The output is deterministic."""
    return render_page(PageContents(report=report)).html


def render_page(contents: PageContents) -> RenderedPage:
    """The page with all non-empty sections, and with as many pairs as fit `MAX_PAGE_BYTES`.

    A page that is too large even without pairs has a note that says so.
    """
    contents = replace(contents, report=relabel_trained_rewards(contents.report))
    page = _render_all_sections(contents)
    excess = _count_excess_bytes(page)
    if excess <= 0:
        return page
    pair_bytes = min(contents.max_pair_bytes, count_row_bytes(contents.pairs.rows)) if contents.pairs else 0
    contents = replace(contents, max_pair_bytes=max(0, pair_bytes - excess))
    smaller_page = _render_all_sections(contents)
    if contents.max_pair_bytes or _count_excess_bytes(smaller_page) <= 0:
        return smaller_page
    return _render_all_sections(replace(contents, report=_add_size_note(contents.report, smaller_page)))


def _count_excess_bytes(page: RenderedPage) -> int:
    return len(page.html.encode()) - MAX_PAGE_BYTES


def _add_size_note(report: Report, page: RenderedPage) -> Report:
    size = f"{len(page.html.encode()) / 1e6:.1f}"
    note = f"This page has {size} MB without any pairs; lower `num_report_samples` in the study to make it smaller."
    return replace(report, notes=(*report.notes, note))


def _render_all_sections(contents: PageContents) -> RenderedPage:
    sections = [section for build in SECTIONS if (section := build(contents)) is not None]
    sections.append(_build_definitions_section(sections))
    environment = create_environment()
    script = "\n".join(_read_template_file(name) for name in SCRIPT_FILES)
    tabs = [(tab, [(each, _render_section(environment, each)) for each in sections if each.tab == tab]) for tab in TABS]
    html = environment.get_template("page.html.j2").render(
        study=contents.report.study,
        is_synthetic=any("synthetic" in note.lower() for note in contents.report.notes),
        tabs=[(tab, rendered) for tab, rendered in tabs if rendered],
        style=load_stylesheet(),
        script=Markup(script),  # noqa: S704 - our own file, without any data
        script_hash=_compute_csp_hash(script),
    )
    return RenderedPage(html=html, figures=tuple(figure for section in sections for figure in section.figures))


def load_stylesheet() -> Markup:
    """The style sheet of every page."""
    return Markup(_read_template_file("style.css"))  # noqa: S704 - our own file, without any data


def create_environment() -> Environment:
    """A template environment that escapes values."""
    return Environment(
        loader=PackageLoader("trimtab.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _read_template_file(name: str) -> str:
    return files("trimtab.report.page").joinpath("templates", name).read_text(encoding="utf-8")


def _render_section(environment: Environment, section: Section) -> Markup:
    template = environment.get_template(f"sections/{section.template}.html.j2")
    values = {"intro": section.intro, "tables": section.tables, "figures": section.figures, **section.values}
    return Markup(template.render(values))  # noqa: S704 - the template has escaped its values


def _compute_csp_hash(script: str) -> str:
    """The hash by which the page's content security policy allows its script, and no other."""
    return b64encode(sha256(script.encode()).digest()).decode()


def _build_definitions_section(sections: Sequence[Section]) -> Section:
    """The definition of every metric on the page, once each."""
    families = dict.fromkeys(name.partition(".")[0] for section in sections for name in section.metrics)
    infos = [get_metric_info(name) for name in families]
    return Section(
        id="metric_definitions",
        title="Metric definitions",
        tab="Study",
        template="metric_definitions",
        values={"definitions": [(info.label, info.description) for info in infos if info.description]},
    )
