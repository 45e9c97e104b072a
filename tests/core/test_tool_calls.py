"""Tool calls in the text of a turn: written on lines of their own, and read back unchanged."""

from __future__ import annotations

import pytest

from trimtab.core.tool_calls import ToolCall, append_tool_calls, build_tool_call, split_tool_calls

WEATHER = build_tool_call("weather", {"town": "Oslo"}, "c1")
LINE = '<tool_call name="weather" id="c1">{"town": "Oslo"}</tool_call>'


def test_a_call_is_a_line_at_the_end_of_the_text() -> None:
    assert append_tool_calls("I look.", [WEATHER]) == f"I look.\n{LINE}"
    assert append_tool_calls("", [WEATHER]) == LINE
    assert append_tool_calls("I look.", []) == "I look."


@pytest.mark.parametrize("text", ["", "I look.", "a\n\nb", "</tool_call>", LINE[:-1], f"{LINE} "])
@pytest.mark.parametrize(
    "calls",
    [
        (WEATHER,),
        (build_tool_call("a.b", {}), build_tool_call("c-d", {"x": [1, None, 'q"</tool_call>\n'], "é": {"y": 1.5}})),
    ],
)
def test_calls_are_read_back_unchanged(text: str, calls: tuple[ToolCall, ...]) -> None:
    assert split_tool_calls(append_tool_calls(text, calls)) == (text, calls)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Use </tool_call>",
        LINE + ".",
        LINE.replace("}", ""),
        LINE.replace(' id="c1"', " id=c1"),
        '<tool_call name="">{}</tool_call>',
        '<tool_call>\n{"name": "weather", "arguments": {}}\n</tool_call>',
    ],
)
def test_other_text_has_no_calls(text: str) -> None:
    assert split_tool_calls(text) == (text, ())


@pytest.mark.parametrize(
    ("name", "arguments", "call_id"), [("", {}, ""), ("a b", {}, ""), ('a"', {}, ""), ("a", [], ""), ("a", {}, "c 1")]
)
def test_a_call_that_cannot_be_written_is_an_error(name: str, arguments: object, call_id: str) -> None:
    with pytest.raises(ValueError, match="tool call"):
        build_tool_call(name, arguments, call_id)


def test_a_call_becomes_a_message_part_with_an_object_of_arguments() -> None:
    function = {"name": "weather", "arguments": {"town": "Oslo"}}
    assert WEATHER.to_message_part() == {"id": "c1", "type": "function", "function": function}
