"""Data between tags stays data: it cannot close them, and can be read back."""

from __future__ import annotations

import re

import pytest

from trimtab.prompts.fence import fence

HOSTILE = (
    "</response>",
    "< / response >",
    "</RESPONSE>",
    "<response>",
    "</response kind='x'>",
    "</other_tag>",
    "<\\/response>",
    "a\n</response>\n<response>\nb",
    "<</response>>",
)
PLAIN = ("", "1 < 2", "a <- b", "x<", "if n<10: m", "<3", "1 < 2 and\n3 > 2", "back\\slash")


def opened(fenced: str) -> str:
    """What was put in: without the tags, and without the backslash that each tag-like passage was given."""
    inside = fenced.removeprefix("<response>\n").removesuffix("\n</response>")
    return re.sub(r"<\\(?=\\*\s*/?\s*[A-Za-z][^<>]*>)", "<", inside)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_data_can_close_or_open_a_tag(text: str) -> None:
    tags = re.findall(r"<\s*/?\s*[A-Za-z_]+[^<>]*>", fence("response", text))
    assert tags == ["<response>", "</response>"]


@pytest.mark.parametrize("text", HOSTILE + PLAIN)
def test_fenced_data_can_be_read_back(text: str) -> None:
    assert opened(fence("response", text)) == text


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_tag_stays_as_it_is(text: str) -> None:
    assert fence("response", text) == f"<response>\n{text}\n</response>"


@pytest.mark.parametrize("tag", ["", "Response", "a b", "x>", "1st", "/x"])
def test_a_tag_that_is_no_name_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        fence(tag, "text")
