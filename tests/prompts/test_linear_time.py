"""Regular expressions that read data take time in proportion to its length, whatever the text."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import process_time

import pytest

from trimtab.annotators.seam.truncation import truncate_middle
from trimtab.core.tool_calls import split_tool_calls
from trimtab.data.parsing.column_hints import suggest_settings
from trimtab.data.parsing.messages import parse_response, parse_turns
from trimtab.data.parsing.text_values import UnusableRowError
from trimtab.engines.openai.messages import strip_repeated_prefill, to_text
from trimtab.prompts.delimiters import indent_label_lines, render_turns, wrap_in_tags
from trimtab.prompts.judge import parse_score_line, parse_scores, parse_verdict
from trimtab.prompts.reasoning_tags import separate_thought
from trimtab.prompts.seam import swap_response_numbers
from trimtab.report.collect.side_effects import compute_distinct_2, is_refusal
from trimtab.starter.text_analysis import analyze_text
from trimtab.types import EngineRequest, build_user_prompt

LENGTH = 20_000
PARTS = (
    *(" ", "\n", "\n\n", "\r\n", "\t", "<", ">", "</", "<a", "\\", "< ", "<\\", "<" + " " * 50, "\u200b", "<\u200b"),
    *(".", "!", "?", "1", "1,", "1.", "-", "*", "#", "'", "a", "a'", "é", "[", "{", "[{", '"', "'role'", "(", ")", "/"),
    *(
        "Human:",
        "\n\nHuman:",
        "\n\nAssistant:",
        "\n\nAssistant: ",
        "\nuser",
        "\nuser ",
        "user\u200b",
        "u\u200b",
        "User:\n",
    ),
    *(
        "response 1 ",
        "response ",
        "response 1 and ",
        "response 2",
        "the better response is ",
        "is ",
        "1 is ",
        "10/",
        "7 ",
    ),
    *("<think>", "</think>", "verdict:", "\nVerdict:", "score of response 1", "as an ai ", "i am "),
)
TEXTS = {
    **{f"{part!r} repeated": part * (LENGTH // len(part)) + "x" for part in PARTS},
    **{f"{part!r} then spaces": part + " " * LENGTH + "x" for part in PARTS},
    **{f"{part!r} then line breaks": part + "\n" * LENGTH + "x" for part in PARTS},
}


def read_as_data(text: str) -> None:
    """The text as a column name, a prompt and a response."""
    suggest_settings([text, f"{text}1"])
    with suppress(UnusableRowError):
        parse_response(text, "'chosen'", parse_turns(text, "'prompt'"))
    split_tool_calls(f"{text}</tool_call>")


# Every function that searches the texts of pairs or of models with regular expressions.
FUNCTIONS: tuple[Callable[[str], object], ...] = (
    read_as_data,
    lambda text: wrap_in_tags("response", text),
    lambda text: render_turns(build_user_prompt(text)),
    lambda text: indent_label_lines(text, "Verdict:"),
    lambda text: parse_verdict(text, allow_ties=True),
    parse_scores,
    parse_score_line,
    is_refusal,
    compute_distinct_2,
    separate_thought,
    lambda text: swap_response_numbers([text]),
    lambda text: to_text(EngineRequest(prompt=build_user_prompt(text))),
    lambda text: strip_repeated_prefill(text, "y", by_word=True),
    lambda text: strip_repeated_prefill(text, text[:-1]),
    lambda text: truncate_middle(text, 100),
    lambda text: (analyze_text(text).n_sentences, analyze_text(text).lines),
)


def measure(run: Callable[[], object]) -> float:
    start = process_time()
    run()
    return process_time() - start


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_linear(function: Callable[[str], object]) -> None:
    slow = [kind for kind, text in TEXTS.items() if measure(lambda text=text: function(text)) > 1]  # type: ignore[misc]
    assert slow == []
