"""The labeling page as one HTML file: one style sheet and one script, both inline, and no data."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class LabelingPage:
    """The page, and its content security policy: only its own script and style, only requests to its own server."""

    html: str
    policy: str


def build_labeling_page() -> LabelingPage:
    style, script = _read_page_file("label.css"), _read_page_file("label.js")
    environment = Environment(
        loader=PackageLoader("trimtab.labeling", "page"), autoescape=True, undefined=StrictUndefined
    )
    html = environment.get_template("label.html.j2").render(
        style=Markup(style),  # noqa: S704 - our own file, without any data
        script=Markup(script),  # noqa: S704 - our own file, without any data
    )
    policy = (
        f"default-src 'none'; style-src {_hash_source(style)}; script-src {_hash_source(script)}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return LabelingPage(html, policy)


def _read_page_file(name: str) -> str:
    return files("trimtab.labeling").joinpath("page", name).read_text(encoding="utf-8")


def _hash_source(text: str) -> str:
    """The expression by which a policy allows this text, and no other."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
