"""The answer of a reasoning model is the text after its thought."""

from __future__ import annotations

import pytest

from trimtab.prompts.reasoning_tags import Reply, separate_thought


@pytest.mark.parametrize(
    "text",
    [
        "<think>\nB\n</think>\n\nA",
        "  <think></think>A",
        "B\n</think>\nA",
        "<thinking>B</thinking> A",
        "<seed:think>B</seed:think>A",
        "◁think▷B◁/think▷A",
        "<|channel|>analysis<|message|>B<|channel|>final<|message|>A",
    ],
)
def test_a_thought_before_the_answer_is_removed(text: str) -> None:
    assert separate_thought(text) == Reply("A", has_thought=True)


@pytest.mark.parametrize("text", ["<think>", "<think>\nResponse 1", " [THINK]so"])
def test_a_thought_without_an_end_has_no_answer(text: str) -> None:
    assert separate_thought(text) == Reply("", has_thought=True, is_unfinished=True)


@pytest.mark.parametrize(
    "text",
    ["", "A", " A\n", "I think so.", "Use <think> and </think> tags.", "The </think> tag ends it.", "<thinker>A"],
)
def test_other_text_is_unchanged(text: str) -> None:
    assert separate_thought(text) == Reply(text)
