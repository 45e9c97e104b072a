"""The report as one HTML file that needs nothing else: no network, one style sheet and one script inside."""

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

SCRIPT_FILES = ("page.js", "pairs.js")
# What a page may weigh.
MAX_PAGE_BYTES = 4_900_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedPage:
    """The page's text, and the figures on it."""

    html: str
    figures: tuple[Figure, ...]


def render_html(report: Report) -> str:
    """The whole page. All text of the report is escaped; the same report gives the same bytes."""
    return render_page(PageContents(report=report)).html


def render_page(contents: PageContents) -> RenderedPage:
    """The page of all sections that have something to show, with as many pairs as keep it under `MOST_BYTES`.

    A page that is heavier without any pairs says so.
    """
    contents = replace(contents, report=relabel_trained_rewards(contents.report))
    made = _render_all_sections(contents)
    excess = _count_excess_bytes(made)
    if excess <= 0:
        return made
    taken = min(contents.max_pair_bytes, count_row_bytes(contents.pairs.rows)) if contents.pairs else 0
    contents = replace(contents, max_pair_bytes=max(0, taken - excess))
    lighter = _render_all_sections(contents)
    if contents.max_pair_bytes or _count_excess_bytes(lighter) <= 0:
        return lighter
    return _render_all_sections(replace(contents, report=_add_size_note(contents.report, lighter)))


def _count_excess_bytes(made: RenderedPage) -> int:
    return len(made.html.encode()) - MAX_PAGE_BYTES


def _add_size_note(report: Report, made: RenderedPage) -> Report:
    weight = f"{len(made.html.encode()) / 1e6:.1f}"
    note = f"This page weighs {weight} MB without any of its pairs; a lower `samples` in the study makes it lighter."
    return replace(report, notes=(*report.notes, note))


def _render_all_sections(contents: PageContents) -> RenderedPage:
    sections = [section for make in SECTIONS if (section := make(contents)) is not None]
    sections.append(_build_definitions_section(sections))
    jinja = create_environment()
    script = "\n".join(_read_template_file(name) for name in SCRIPT_FILES)
    tabs = [(tab, [(each, _render_section(jinja, each)) for each in sections if each.tab == tab]) for tab in TABS]
    text = jinja.get_template("page.html.j2").render(
        study=contents.report.study,
        synthetic=any("synthetic" in note.lower() for note in contents.report.notes),
        tabs=[(tab, filled) for tab, filled in tabs if filled],
        style=load_stylesheet(),
        script=Markup(script),  # noqa: S704 - ours, and nothing of the data is in it
        script_hash=_compute_csp_hash(script),
    )
    return RenderedPage(html=text, figures=tuple(figure for each in sections for figure in each.figures))


def load_stylesheet() -> Markup:
    """The style sheet of every page."""
    return Markup(_read_template_file("style.css"))  # noqa: S704 - ours, and nothing of the data is in it


def create_environment() -> Environment:
    """The templates; what they are filled with is escaped."""
    return Environment(
        loader=PackageLoader("trimtab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _read_template_file(name: str) -> str:
    return files("trimtab.report").joinpath("templates", name).read_text(encoding="utf-8")


def _render_section(environment: Environment, section: Section) -> Markup:
    text = environment.get_template(f"sections/{section.id}.html.j2").render(section.values)
    return Markup(text)  # noqa: S704 - the template has escaped its values


def _compute_csp_hash(script: str) -> str:
    """What the page's policy names its only script by, so that no other is ever obeyed."""
    return b64encode(sha256(script.encode()).digest()).decode()


def _build_definitions_section(sections: Sequence[Section]) -> Section:
    """The meaning of every metric on the page, once each."""
    families = dict.fromkeys(name.partition(".")[0] for each in sections for name in each.metrics)
    infos = [get_metric_info(name) for name in families]
    meanings = [(info.label, info.description) for info in infos if info.description]
    return Section(id="meaning", title="What the figures mean", tab="Study", values={"meanings": meanings})
