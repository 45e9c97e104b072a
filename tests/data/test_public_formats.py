"""Rows of public preference datasets, and the labels that they have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab.data.parsing.column_settings import ColumnSettings
from trimtab.data.parsing.dataset_builder import build_dataset
from trimtab.data.parsing.rows import SourceRow
from trimtab.errors import DataError
from trimtab.types import Dataset, Pair, build_user_prompt

BLUE_PREFERRED = Pair.from_responses(build_user_prompt("Name a color."), "Blue.", "Seven.", "first")
QUESTION = {"role": "user", "content": "Name a color."}
BLUE, SEVEN = ({"role": "assistant", "content": text} for text in ("Blue.", "Seven."))
TEXTS = {"prompt": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}
NUMBERED = {"prompt": "Name a color.", "response_1": "Blue.", "response_2": "Seven."}
SHP = {"history": "Name a color.", "human_ref_A": "Blue.", "human_ref_B": "Seven.", "score_A": 9, "score_B": 2}
ARENA = {
    "conversation_a": [QUESTION, BLUE],
    "conversation_b": [QUESTION, {"role": "assistant", "content": [{"type": "text", "text": "Seven."}]}],
    "winner": "model_a",
}
WON = {"winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0}


def parse(*rows: dict[str, Any], **settings: Any) -> Dataset:
    numbered = [SourceRow(location=f"p:{number}", cells=row) for number, row in enumerate(rows, start=1)]
    return build_dataset(numbered, "p", columns=ColumnSettings(**settings))


def failure_reason(row: dict[str, Any]) -> str:
    """The failure reason of `row` next to a usable row."""
    (failure,) = parse({"prompt": "Hi", "chosen": "Yes.", "rejected": "No."}, row).failures
    return failure.reason


@pytest.mark.parametrize(
    ("row", "layout"),
    [
        (ARENA, "two responses, messages, labels in 'winner'"),
        (TEXTS | WON, "two responses, text, labels in 'winner_model_a'"),
        (TEXTS | {name: str(value) for name, value in WON.items()}, "two responses, text, labels in 'winner_model_a'"),
        (
            {name: json.dumps([text]) for name, text in TEXTS.items()} | WON,
            "two responses, text, labels in 'winner_model_a'",
        ),
        (NUMBERED | {"preference_strength": -3}, "two responses, text, labels in 'preference_strength'"),
        (
            {"context": [QUESTION], "response1": "Seven.", "response2": "Blue.", "overall_preference": 1},
            "two responses, messages, labels in 'overall_preference'",
        ),
        (SHP | {"labels": 1}, "two responses, text, labels in 'labels'"),
        (
            SHP | {"human_ref_A": "Seven.", "human_ref_B": "Blue.", "labels": 0},
            "two responses, text, labels in 'labels'",
        ),
        (
            {
                "prompt": "\n\nHuman: Name a color.\n\nAssistant: ",
                "answers": [
                    {"answer": "Red.", "rank": 2.0},
                    {"answer": "Seven.", "rank": 7.0},
                    {"answer": "Blue.", "rank": 1.0},
                ],
            },
            "best and worst of 'answers'",
        ),
        (
            {
                "instruction": "Name a color.",
                "completions": [
                    {"response": "Seven.", "fine-grained_score": 1.5, "overall_score": 9},
                    {"response": "Blue.", "fine-grained_score": 4.0, "overall_score": 2},
                ],
            },
            "best and worst of 'completions'",
        ),
        (
            {"instruction": "Name a color.", "chosen_response": "Blue.", "rejected_response": "Seven."},
            "preference, text, explicit prompt",
        ),
        (
            {"prompt": "Name a color.", "chosen": [QUESTION, BLUE], "rejected": [QUESTION, SEVEN], "score_chosen": 9.0},
            "preference, text, explicit prompt",
        ),
    ],
)
def test_public_datasets_give_labeled_pairs(row: dict[str, Any], layout: str) -> None:
    dataset = parse(row)
    assert dataset.pairs == (BLUE_PREFERRED,)
    assert dataset.layout == layout


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (TEXTS | WON | {"winner_model_a": 0, "winner_tie": 1}, "'winner_tie' is a tie: no response is preferred"),
        (NUMBERED | {"preference_strength": 0}, "'preference_strength' is a tie: no response is preferred"),
        (ARENA | {"winner": "both_bad"}, "'winner' is a tie: no response is preferred"),
        (TEXTS | {"label": "Tie "}, "'label' is a tie: no response is preferred"),
        (
            TEXTS | WON | {"winner_model_b": 1},
            "exactly one of 'winner_model_a', 'winner_model_b', 'winner_tie' must be 1",
        ),
        (
            NUMBERED | {"preference_strength": "good"},
            "'preference_strength' is a text of 4 characters; expected a number",
        ),
        (SHP | {"labels": 2}, "'labels' is 2; expected 1 (the first response) or 0 (the second)"),
        (
            {"prompt": "Hi", "answers": [{"answer": "Yes.", "rank": 1}]},
            "'answers' is a list of 1; expected at least two responses",
        ),
        (
            {"prompt": "Hi", "answers": [{"answer": "Yes.", "rank": 1}, {"answer": "No.", "rank": 1}]},
            "all responses in 'answers' have the same rating",
        ),
        (
            {"prompt": '["One?", "Two?"]', "response_a": '["1", "2"]', "response_b": '["I", "II"]'},
            "the conversations differ before the last turn, so the responses have different prompts",
        ),
        (
            {"prompt": '["One?", "Two?"]', "response_a": '["1", "2"]', "response_b": "no list"},
            "'prompt' and the responses are JSON lists of different lengths",
        ),
    ],
)
def test_a_tie_or_an_unreadable_label_fails_with_its_reason(row: dict[str, Any], reason: str) -> None:
    assert failure_reason(row) == reason


def test_turns_in_json_lists_are_a_conversation_if_the_earlier_answers_agree() -> None:
    row = {"prompt": '["One?", "Two?"]', "response_a": '["1", "2"]', "response_b": '["1", "II"]', "label": "a"}
    (pair,) = parse(row).pairs
    assert [(turn.role, turn.content) for turn in pair.prompt] == [
        ("user", "One?"),
        ("assistant", "1"),
        ("user", "Two?"),
    ]
    assert pair.response("a") in ("2", "II")
    assert pair.human is not None
    assert pair.response(pair.human) == "2"


@pytest.mark.parametrize(
    "column",
    [
        *("winner_id", "my_preference", "Score", "rating_1", "chosen_side", "labels", "better", "preference.responses"),
        *("human_choice", "annotator_label", "a_is_better", "chosen", "verdict", "ranking", "user-preferred"),
    ],
)
def test_an_unread_column_that_looks_like_a_label_fails_the_row(column: str) -> None:
    with pytest.raises(DataError, match=f"{column!r} looks like a label column; set `columns: {{label: {column}}}`"):
        parse(TEXTS | {column: 1})
    assert parse(TEXTS | {column: None}).pairs[0].human is None
    assert parse(TEXTS | {column: 1}, names={"label": None}).pairs[0].human is None


def test_an_unlabeled_source_lists_the_columns_that_it_ignored() -> None:
    layout = parse(TEXTS | {"model_a": "m", "language": "en", "label_source": "x"}).layout
    assert layout == "two responses, text, unlabeled; columns that were not read: model_a, language, label_source"


def test_columns_that_name_the_models_of_both_responses_are_not_listed_as_ignored() -> None:
    assert parse(TEXTS | {"model_a": "m", "model_b": "n"}).layout == "two responses, text, unlabeled"


def test_a_label_that_first_appears_late_is_read() -> None:
    rows = [TEXTS | {"response_b": f"No {number}."} for number in range(150)]
    dataset = parse(*rows, TEXTS | {"label": "a"})
    assert [pair for pair in dataset.pairs if pair.human] == [BLUE_PREFERRED]
    assert "labels in 'label' (1 rows)" in dataset.layout


def test_rows_of_different_layouts_are_all_read() -> None:
    dataset = parse(
        TEXTS, {"prompt": "Hi", "chosen": "Yes.", "rejected": "No."}, SHP | {"history": "Why?", "labels": 1}
    )
    assert (len(dataset.pairs), dataset.failures) == (3, ())


def test_unused_columns_that_are_null_do_not_decide_the_layout() -> None:
    columns = dict.fromkeys(("chosen", "rejected", "response_a", "response_b", "label", "prompt"))
    dataset = parse(columns | TEXTS | {"label": "a"}, columns | {"prompt": "Hi", "chosen": "Yes.", "rejected": "No."})
    assert (len(dataset.pairs), dataset.failures) == (2, ())


OPENAI = {"preferred_output": [BLUE], "non_preferred_output": [SEVEN]}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [QUESTION], "chosen": BLUE, "rejected": SEVEN},
        {"conversations": [QUESTION], "chosen": BLUE, "rejected": "Seven."},
        {"instruction": "Name a color.", "input": "", "chosen": "Blue.", "rejected": "Seven."},
        {"input": {"messages": [QUESTION], "tools": [], "parallel_tool_calls": True}} | OPENAI,
        {"input": "Name a color."} | OPENAI,
        # the SFT conversation of a row next to its preference
        {"messages": [QUESTION, BLUE], "chosen": [QUESTION, BLUE], "rejected": [QUESTION, SEVEN]},
    ],
)
def test_prompts_are_read_from_the_columns_of_other_tools(row: dict[str, Any]) -> None:
    dataset = parse(row)
    assert (dataset.pairs, dataset.failures) == ((BLUE_PREFERRED,), ())


@pytest.mark.parametrize("settings", [{}, {"names": {"prompt": "instruction"}}])
def test_the_input_of_an_instruction_is_part_of_its_prompt(settings: dict[str, Any]) -> None:
    rows = [
        {"instruction": "Translate to French.", "input": text, "chosen": french, "rejected": "Hola."}
        for text, french in (("Good day.", "Bonjour."), ("Good night.", "Bonne nuit."))
    ]
    pairs = parse(*rows, **settings).pairs
    assert [pair.prompt for pair in pairs] == [
        build_user_prompt(f"Translate to French.\n\n{text}") for text in ("Good day.", "Good night.")
    ]


def test_tools_of_a_request_are_tool_definitions() -> None:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    (pair,) = parse({"input": {"messages": [QUESTION], "tools": tools}} | OPENAI).pairs
    assert [message.role for message in pair.prompt] == ["tools", "user"]


SENTENCE = "Name a color that you like."


def repeat(prompt: str, answer: str) -> dict[str, str]:
    return {"prompt": prompt, "chosen": f"{prompt} {answer}", "rejected": f" {prompt}\nSeven."}


def test_responses_that_repeat_their_prompts_are_an_error() -> None:
    rows = [repeat(f"{SENTENCE} {number}", "Blue.") for number in range(9)]
    other = {"prompt": SENTENCE, "chosen": "Blue.", "rejected": "Seven."}
    with pytest.raises(
        DataError, match=r"both responses start with the whole prompt in 9 of 10 rows.*layout: explicit"
    ):
        parse(*rows, other)
    assert len(parse(*rows, other, other | {"chosen": "Red."}).pairs) == 11
    numbered = [SourceRow(location="p", cells=row) for row in rows]
    assert len(build_dataset(numbered, "p", layout="explicit").pairs) == 9


def test_an_answer_may_start_with_a_prompt_of_two_words() -> None:
    assert len(parse(repeat("Good day", "to you.")).pairs) == 1


def test_ratings_of_a_prompt_are_compared_on_one_scale() -> None:
    def rate(text: str, fine: float | None, overall: float | None) -> dict[str, Any]:
        return {"response": text, "fine-grained_score": fine, "overall_score": overall}

    row = {"instruction": "Name a color.", "completions": [rate("Blue.", 4.75, 8.5), rate("Seven.", None, 7.0)]}
    assert parse(row).pairs == (BLUE_PREFERRED,)
    row["completions"] = [rate("Blue.", 4.75, None), rate("Seven.", None, 7.0)]
    assert failure_reason(row) == (
        "no rating is that of all responses in 'completions': 'fine-grained_score', 'overall_score'"
    )


def test_three_responses_fail_instead_of_losing_one() -> None:
    reason = failure_reason(NUMBERED | {"response_3": "Nine."})
    assert reason.startswith("3 responses (response_1, response_2, response_3); choose two: `columns: {response_a: ")


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [("score_chosen", "score_rejected"), ("chosen-rating", "rejected-rating"), ("chosen_score", "rejected_score")],
)
def test_scores_that_do_not_support_the_label_are_counted_and_the_label_is_used(chosen: str, rejected: str) -> None:
    row = {"prompt": "Name a color.", "chosen": "Blue.", "rejected": "Seven."}
    scores = [(1, 2.5), ("3", "4"), (5, 5), (6, 1), (None, 3), ("good", 4)]
    dataset = parse(*(row | {"prompt": f"{i}?", chosen: one, rejected: two} for i, (one, two) in enumerate(scores)))
    assert (len(dataset.pairs), dataset.failures) == (6, ())
    assert all(pair.response(pair.human) == "Blue." for pair in dataset.pairs if pair.human)
    assert dataset.notices == (
        f"3 of 6 rows: {chosen!r} is not above {rejected!r}, so the scores do not support the label; the label is used",
    )
    labeled_otherwise = TEXTS | {"label": "a", chosen: 1, rejected: 2}
    assert parse(labeled_otherwise).notices == ()


@pytest.mark.parametrize("heading", ["### Assistant: ", "Assistant:", "ASSISTANT: ", "### Response: "])
def test_turns_in_another_form_of_transcript_fail_instead_of_becoming_responses(heading: str) -> None:
    with pytest.raises(DataError, match="the heading of a turn in another form of transcript"):
        parse(
            {
                name: f"### Human: Name a color.\n{heading}{text}"
                for name, text in (("chosen", "Blue."), ("rejected", "Seven."))
            }
        )


def test_a_response_may_name_an_assistant() -> None:
    (pair,) = parse(
        {name: f"Name a color.\nAssistants say: {text}" for name, text in (("chosen", "Blue."), ("rejected", "Seven."))}
    ).pairs
    assert pair.response("a").startswith("Assistants say: ")
