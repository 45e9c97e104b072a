"""YAML that users write: every malformed text gives one line with its place."""

from __future__ import annotations

import pytest

from trimtab.core.yaml_text import parse_yaml
from trimtab.errors import StudyError

ALIASES = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"b{n}: &b{n} [{','.join(['*' + (f'b{n - 1}' if n else 'a')] * 10)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' occurs twice, first in line 1; remove one of them"),
        ("x: {arms: {one: 1, one: 2}}", "line 1: the key 'one' occurs twice, first in line 1; remove one of them"),
        ("x: " + "[" * 5000, "line 1: more than 40 levels of nesting"),
        ("x: " + "{a: " * 100 + "1" + "}" * 100, "line 1: more than 40 levels of nesting"),
        ("x: &a [*a]", "line 1: more than 40 levels of nesting (an alias may refer to itself)"),
        (ALIASES, "line 5: aliases expand to more than 50,000 values"),
        ("a: " + "x" * 200_001, "200,004 characters of YAML, expected at most 200,000"),
        ('a: "\\ud800"', "line 1: the text contains half of a character (a lone surrogate)"),
        ('a: "\\0"', "line 1: the text contains a null character"),
        ("? [1, 2]\n: 3", "line 1: a key must be text, found a list or a mapping"),
        ("a: 2024-99-99", "month must be in 1..12"),
        ("a: !!int x", "invalid literal for int() with base 10: 'x'"),
        ("a: " + "9" * 5000, "Exceeds the limit"),
        ("a: !!python/object:os.system x", "line 1: could not determine a constructor for the tag"),
        ("a: [1", "line 1: while parsing a flow sequence: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n---\nb: 2", "line 2: expected a single document in the stream: but found another document"),
        ("a: \x07", "special characters are not allowed"),
    ],
)
def test_a_malformed_text_gives_one_line_with_the_place(text: str, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        parse_yaml(text, "study.yaml")
    error = str(caught.value)
    assert error.startswith("study.yaml: ") and "\n" not in error and len(error) < 400
    assert message in error


def test_valid_text_is_parsed_like_yaml() -> None:
    assert parse_yaml("a: &x {b: 1}\nc: {<<: *x, d: [1e-4, yes, ~]}", "x") == {
        "a": {"b": 1},
        "c": {"b": 1, "d": ["1e-4", True, None]},
    }
    assert parse_yaml("", "x") is None
