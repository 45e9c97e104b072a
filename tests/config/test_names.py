"""Every name that becomes part of a path follows one rule, and the error gives the rule."""

from __future__ import annotations

import pytest

from trimtab.config.names import MAX_NAME_LENGTH, NAME_RULE, validate_names
from trimtab.config.study import Study
from trimtab.errors import StudyError

YAML = """
name: names
data: {kind: starter}
models: {weak: smollm2-135m-instruct, student: smollm2-135m-instruct}
"""
NAMED = {
    "arms": "{annotator: length}",
    "judges": "{kind: pairwise, engine: {kind: scripted}}",
    "ood_eval": "{kind: starter}",
    "scorers": "{kind: synthetic_checker}",
}
INVALID = [
    "x/../../e",
    "a/b",
    "..",
    ".hidden",
    "a.b",
    "a\\b",
    "a b",
    "a\tb",
    "",
    "-a",
    "größe",
    "a" * (MAX_NAME_LENGTH + 1),
    "~",
]


@pytest.mark.parametrize("setting", NAMED)
@pytest.mark.parametrize("name", INVALID)
def test_a_name_that_is_no_part_of_a_path_is_refused(setting: str, name: str) -> None:
    study = Study.parse(YAML)
    document = {**study.model_dump(mode="json", exclude_defaults=True), setting: {name: _parse(NAMED[setting])}}
    with pytest.raises(StudyError) as raised:
        Study.parse(_dump(document))
    assert str(raised.value).startswith(f"{setting}: ")
    assert NAME_RULE in str(raised.value)


@pytest.mark.parametrize("setting", NAMED)
@pytest.mark.parametrize("name", ["a", "A-1_b", "0", "a" * MAX_NAME_LENGTH])
def test_other_names_are_accepted(setting: str, name: str) -> None:
    assert name in getattr(Study.parse(YAML, [f"{setting}.{name}={NAMED[setting]}"]), setting)


def test_names_that_differ_only_in_case_are_refused() -> None:
    with pytest.raises(StudyError, match="arms: 'Length': differs from 'length' only in case"):
        Study.parse(YAML, [f"arms.{name}={NAMED['arms']}" for name in ("length", "Length")])


def test_the_name_of_a_study_has_a_maximum_length() -> None:
    with pytest.raises(StudyError, match=f"^name: .* at most {MAX_NAME_LENGTH} characters"):
        Study.parse(YAML, [f"name={'a' * (MAX_NAME_LENGTH + 1)}"])


def test_the_table_of_similarities_keeps_its_key() -> None:
    with pytest.raises(StudyError, match=r"arms.preferred_responses: every study already has this row"):
        Study.parse(YAML, [f"arms.preferred_responses={NAMED['arms']}"])


def test_the_rule_holds_without_a_study() -> None:
    validate_names(["a", "b"])
    with pytest.raises(ValueError, match="'a/b': a name consists of"):
        validate_names(["a/b"])


def _parse(text: str) -> object:
    import yaml

    return yaml.safe_load(text)


def _dump(document: object) -> str:
    import yaml

    return str(yaml.safe_dump(document))
