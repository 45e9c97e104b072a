"""Sources of sources: all of several, and one without the prompts of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trimtab.core.component import build_component, dump_component
from trimtab.core.interfaces import Source
from trimtab.errors import DataError, StudyError
from trimtab.sources.concat import Concat
from trimtab.sources.exclude import Exclude
from trimtab.types import Pair

COLORS = [{"prompt": f"Name color {n}.", "chosen": "Blue.", "rejected": f"{n}"} for n in range(4)]
SHOUTED = {"prompt": "  NAME color\n1. ", "chosen": "Green.", "rejected": "Eleven."}
TURNED = COLORS[2] | {"chosen": COLORS[2]["rejected"], "rejected": COLORS[2]["chosen"]}

Write = Callable[..., dict[str, str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows and gives the settings of the source that reads them."""

    def written(name: str, *rows: dict[str, str]) -> dict[str, str]:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {"kind": "file", "path": str(path)}

    return written


def prompts(pairs: tuple[Pair, ...]) -> list[str]:
    return [pair.prompt[-1].content for pair in pairs]


def test_a_union_has_every_pair_once(write: Write) -> None:
    one, other = write("one", *COLORS[:3]), write("other", *COLORS[2:])
    dataset = Concat.model_validate({"of": [one, other]}).load()
    assert prompts(dataset.pairs) == [row["prompt"] for row in COLORS]
    assert [failure.reason for failure in dataset.failures] == ["repeated: the same pair came before"]
    assert dataset.layout == "preference, text, explicit prompt"


def test_opposite_labels_in_two_sources_fail_in_both(write: Write) -> None:
    dataset = Concat.model_validate({"of": [write("one", *COLORS), write("other", TURNED)]}).load()
    assert prompts(dataset.pairs) == [COLORS[n]["prompt"] for n in (0, 1, 3)]
    assert [failure.reason for failure in dataset.failures] == ["the same pair with opposite labels"] * 2


def test_a_union_keeps_what_failed_in_its_sources(write: Write) -> None:
    one, other = write("one", *COLORS[:1], COLORS[1] | {"chosen": ""}), write("other", *COLORS[2:])
    (failure,) = Concat.model_validate({"of": [one, other]}).load().failures
    assert (failure.location, failure.reason) == ("one.jsonl:2", "'chosen' is empty")


def test_pairs_whose_prompt_stands_elsewhere_are_left_out_and_counted(write: Write) -> None:
    source = Exclude.model_validate({"of": write("all", *COLORS), "prompts_of": [write("test", SHOUTED)]})
    dataset = source.load()
    assert prompts(dataset.pairs) == [COLORS[n]["prompt"] for n in (0, 2, 3)]
    assert [failure.reason for failure in dataset.failures] == ["its prompt stands in another source"]


def test_a_source_without_itself_is_refused(write: Write) -> None:
    everything = write("all", *COLORS)
    with pytest.raises(DataError, match="none of 4 pairs has a prompt that the other sources lack"):
        Exclude.model_validate({"of": everything, "prompts_of": [everything]}).load()


def test_a_limit_is_taken_of_what_is_left(write: Write) -> None:
    everything, one = write("all", *COLORS), write("one", *COLORS[:1])
    assert len(Exclude.model_validate({"of": everything, "prompts_of": [one], "limit": 3}).load().pairs) == 3
    assert len(Concat.model_validate({"of": [everything, one], "limit": 3}).load().pairs) == 3


def test_the_sides_of_a_study_can_be_told_apart_by_leaving_out(write: Write) -> None:
    everything, test = write("all", *COLORS), write("test", *COLORS[:1])
    unlabeled = {"kind": "without", "of": everything, "prompts_of": [test], "limit": 2}
    labeled = Exclude.model_validate({"of": everything, "prompts_of": [test, unlabeled]}).load()
    taken = prompts(Exclude.model_validate({"of": everything, "prompts_of": [test], "limit": 2}).load().pairs)
    assert sorted([*prompts(labeled.pairs), *taken]) == [row["prompt"] for row in COLORS[1:]]


def identity(settings: dict[str, object]) -> str:
    source = build_component("sources", settings)
    assert isinstance(source, Source)
    return source.content_hash()


def test_the_identity_follows_the_bytes_and_the_settings_but_not_the_place(write: Write) -> None:
    one, copy, other = write("one", *COLORS), write("copy", *COLORS), write("other", *COLORS[1:])
    assert identity({"kind": "union", "of": [one, other]}) == identity({"kind": "union", "of": [copy, other]})
    assert identity({"kind": "union", "of": [one, other]}) != identity({"kind": "union", "of": [one, one]})
    limited = one | {"limit": 2}
    assert identity({"kind": "without", "of": one, "prompts_of": [other]}) != identity(
        {"kind": "without", "of": limited, "prompts_of": [other]}
    )


def test_a_source_of_sources_survives_its_settings(write: Write) -> None:
    settings = {"kind": "without", "of": write("all", *COLORS), "prompts_of": [write("test", SHOUTED)], "limit": 2}
    source = build_component("sources", settings)
    assert dump_component(source) == settings
    assert build_component("sources", dump_component(source)) == source


def test_a_wrong_setting_of_a_source_within_is_named(write: Write) -> None:
    with pytest.raises(StudyError, match=r"of\.0.*limt: there is no such setting; did you mean 'limit'"):
        build_component("sources", {"kind": "union", "of": [write("one", *COLORS) | {"limt": 3}, write("other", SHOUTED)]})
