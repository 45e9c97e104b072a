"""The report as one HTML file that needs nothing else: no network, one style sheet and one script inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trimtab.report.browse import size
from trimtab.report.metrics import metric_info
from trimtab.report.model import Report
from trimtab.report.proxies import with_proxies
from trimtab.report.sections import SECTIONS
from trimtab.report.sections.section import TABS, Contents, Figure, Section

SCRIPTS = ("page.js", "pairs.js")
# What a page may weigh.
MOST_BYTES = 4_900_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The page's text, and the figures on it."""

    text: str
    figures: tuple[Figure, ...]


def render(report: Report) -> str:
    """The whole page. All text of the report is escaped; the same report gives the same bytes."""
    return page(Contents(report=report)).text


def page(contents: Contents) -> Page:
    """The page of all sections that have something to show, with as many pairs as keep it under `MOST_BYTES`.

    A page that is heavier without any pairs says so.
    """
    contents = replace(contents, report=with_proxies(contents.report))
    made = _page(contents)
    excess = _excess(made)
    if excess <= 0:
        return made
    taken = min(contents.room, size(contents.pairs.rows)) if contents.pairs else 0
    contents = replace(contents, room=max(0, taken - excess))
    lighter = _page(contents)
    if contents.room or _excess(lighter) <= 0:
        return lighter
    return _page(replace(contents, report=_noted(contents.report, lighter)))


def _excess(made: Page) -> int:
    return len(made.text.encode()) - MOST_BYTES


def _noted(report: Report, made: Page) -> Report:
    weight = f"{len(made.text.encode()) / 1e6:.1f}"
    note = f"This page weighs {weight} MB without any of its pairs; a lower `samples` in the study makes it lighter."
    return replace(report, notes=(*report.notes, note))


def _page(contents: Contents) -> Page:
    sections = [section for make in SECTIONS if (section := make(contents)) is not None]
    sections.append(_meaning(sections))
    jinja = environment()
    script = "\n".join(_source(name) for name in SCRIPTS)
    tabs = [(tab, [(each, _filled(jinja, each)) for each in sections if each.tab == tab]) for tab in TABS]
    text = jinja.get_template("page.html.j2").render(
        study=contents.report.study,
        synthetic=any("synthetic" in note.lower() for note in contents.report.notes),
        tabs=[(tab, filled) for tab, filled in tabs if filled],
        style=style(),
        script=Markup(script),  # noqa: S704 - ours, and nothing of the data is in it
        script_hash=_policy_hash(script),
    )
    return Page(text=text, figures=tuple(figure for each in sections for figure in each.figures))


def style() -> Markup:
    """The style sheet of every page."""
    return Markup(_source("style.css"))  # noqa: S704 - ours, and nothing of the data is in it


def environment() -> Environment:
    """The templates; what they are filled with is escaped."""
    return Environment(
        loader=PackageLoader("trimtab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _source(name: str) -> str:
    return files("trimtab.report").joinpath("templates", name).read_text(encoding="utf-8")


def _filled(environment: Environment, section: Section) -> Markup:
    text = environment.get_template(f"sections/{section.id}.html.j2").render(section.values)
    return Markup(text)  # noqa: S704 - the template has escaped its values


def _policy_hash(script: str) -> str:
    """What the page's policy names its only script by, so that no other is ever obeyed."""
    return b64encode(sha256(script.encode()).digest()).decode()


def _meaning(sections: Sequence[Section]) -> Section:
    """The meaning of every metric on the page, once each."""
    families = dict.fromkeys(name.partition(".")[0] for each in sections for name in each.metrics)
    infos = [metric_info(name) for name in families]
    meanings = [(info.label, info.meaning) for info in infos if info.meaning]
    return Section(id="meaning", title="What the figures mean", tab="Study", values={"meanings": meanings})
