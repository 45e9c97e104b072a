"""Reads the comparisons of two summaries of a post, as in OpenAI's `summarize_from_feedback` (TL;DR)."""

from __future__ import annotations

from typing import Any, Literal

from trimtab.data.parsing.rows import Cells, is_empty
from trimtab.data.parsing.text_values import UnusableRowError, describe_value, parse_text

SUMMARY_COLUMNS = ("info", "summaries", "choice")


def has_summaries(cells: Cells) -> bool:
    """Whether a row compares summaries."""
    return set(SUMMARY_COLUMNS) <= cells.keys() and isinstance(cells["info"], dict)


def format_post(info: dict[str, Any]) -> str:
    """The prompt that asks for a summary of a post, in the format of Stiennon et al. (2020), table 4.

    Raises `UnusableRowError` for a news article: a few rows of the validation split are not of TL;DR.
    """
    if is_empty(info.get("post")) and not is_empty(info.get("article")):
        raise UnusableRowError("'info' has a news article instead of a post, so the row is not of TL;DR")
    subreddit, title, post = (
        parse_text(info.get(name), f"'info', {name!r}") for name in ("subreddit", "title", "post")
    )
    return f"SUBREDDIT: r/{subreddit}\n\nTITLE: {title}\n\nPOST: {post.strip()}\n\nTL;DR:"


def parse_summaries(cells: Cells) -> tuple[str, str, Literal["first", "second"]]:
    """Both summaries in the order of the row, and which of them was chosen."""
    summaries, choice = cells["summaries"], cells["choice"]
    if not isinstance(summaries, list) or len(summaries) != 2:
        raise UnusableRowError(f"'summaries' is {describe_value(summaries)}; expected two summaries")
    if isinstance(choice, bool) or choice not in (0, 1):
        raise UnusableRowError(
            f"'choice' is {describe_value(choice)}; expected 0 or 1, the index of the better summary"
        )
    texts = []
    for number, item in enumerate(summaries, start=1):
        if not isinstance(item, dict):
            raise UnusableRowError(
                f"'summaries', item {number} is {describe_value(item)}, expected an object with a text"
            )
        texts.append(parse_text(item.get("text"), f"'summaries', item {number}").strip())
    return texts[0], texts[1], "first" if choice == 0 else "second"
