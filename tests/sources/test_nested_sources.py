"""Sources made from other sources: concat and exclude."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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
FLIPPED = COLORS[2] | {"chosen": COLORS[2]["rejected"], "rejected": COLORS[2]["chosen"]}

Write = Callable[..., dict[str, str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows and returns the settings of the source that reads them."""

    def write_rows(name: str, *rows: dict[str, str]) -> dict[str, str]:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {"kind": "file", "path": str(path)}

    return write_rows


def prompts(pairs: Sequence[Pair]) -> list[str]:
    return [pair.prompt[-1].content for pair in pairs]


def test_notices_of_the_sources_are_retained(write: Write) -> None:
    scored = write("scored", COLORS[0] | {"score_chosen": "1", "score_rejected": "2"}, COLORS[3])
    (notice,) = Concat.model_validate({"sources": [scored, write("other", COLORS[1])]}).load().notices
    assert notice.startswith("1 of 2 rows: 'score_chosen' is not above 'score_rejected'")
    settings = {"source": scored, "exclude_prompts_from": [write("more", COLORS[3])]}
    assert Exclude.model_validate(settings).load().notices == (notice,)


def test_concat_has_every_pair_once(write: Write) -> None:
    one, other = write("one", *COLORS[:3]), write("other", *COLORS[2:])
    dataset = Concat.model_validate({"sources": [one, other]}).load()
    assert prompts(dataset.pairs) == [row["prompt"] for row in COLORS]
    assert [failure.reason for failure in dataset.failures] == ["duplicate pair"]
    assert dataset.layout == "preference, text, explicit prompt"


def test_opposite_labels_in_two_sources_fail_in_both(write: Write) -> None:
    dataset = Concat.model_validate({"sources": [write("one", *COLORS), write("other", FLIPPED)]}).load()
    assert prompts(dataset.pairs) == [COLORS[n]["prompt"] for n in (0, 1, 3)]
    assert [failure.reason for failure in dataset.failures] == ["duplicate pair with opposite labels"] * 2


def test_concat_keeps_the_failures_of_its_sources(write: Write) -> None:
    one, other = write("one", *COLORS[:1], COLORS[1] | {"chosen": ""}), write("other", *COLORS[2:])
    (failure,) = Concat.model_validate({"sources": [one, other]}).load().failures
    assert (failure.location, failure.reason) == ("one.jsonl:2", "'chosen' is empty")


def test_pairs_with_prompts_of_other_sources_are_excluded_and_counted(write: Write) -> None:
    source = Exclude.model_validate({"source": write("all", *COLORS), "exclude_prompts_from": [write("test", SHOUTED)]})
    dataset = source.load()
    assert prompts(dataset.pairs) == [COLORS[n]["prompt"] for n in (0, 2, 3)]
    assert [failure.reason for failure in dataset.failures] == ["prompt occurs in an excluded source"]


def test_excluding_all_prompts_is_rejected(write: Write) -> None:
    everything = write("all", *COLORS)
    with pytest.raises(DataError, match="the prompts of all 4 pairs occur in an excluded source"):
        Exclude.model_validate({"source": everything, "exclude_prompts_from": [everything]}).load()


def test_a_limit_applies_to_the_remaining_pairs(write: Write) -> None:
    everything, one = write("all", *COLORS), write("one", *COLORS[:1])
    assert (
        len(Exclude.model_validate({"source": everything, "exclude_prompts_from": [one], "limit": 3}).load().pairs) == 3
    )
    assert len(Concat.model_validate({"sources": [everything, one], "limit": 3}).load().pairs) == 3


def test_the_splits_of_a_study_can_be_made_disjoint(write: Write) -> None:
    everything, test = write("all", *COLORS), write("test", *COLORS[:1])
    unlabeled = {"kind": "exclude", "source": everything, "exclude_prompts_from": [test], "limit": 2}
    labeled = Exclude.model_validate({"source": everything, "exclude_prompts_from": [test, unlabeled]}).load()
    used = prompts(
        Exclude.model_validate({"source": everything, "exclude_prompts_from": [test], "limit": 2}).load().pairs
    )
    assert sorted([*prompts(labeled.pairs), *used]) == [row["prompt"] for row in COLORS[1:]]


def content_hash(settings: dict[str, object]) -> str:
    source = build_component("sources", settings)
    assert isinstance(source, Source)
    return source.content_hash()


def test_the_content_hash_covers_bytes_and_settings_but_not_paths(write: Write) -> None:
    one, copy, other = write("one", *COLORS), write("copy", *COLORS), write("other", *COLORS[1:])
    assert content_hash({"kind": "concat", "sources": [one, other]}) == content_hash(
        {"kind": "concat", "sources": [copy, other]}
    )
    assert content_hash({"kind": "concat", "sources": [one, other]}) != content_hash(
        {"kind": "concat", "sources": [one, one]}
    )
    limited = one | {"limit": 2}
    assert content_hash({"kind": "exclude", "source": one, "exclude_prompts_from": [other]}) != content_hash(
        {"kind": "exclude", "source": limited, "exclude_prompts_from": [other]}
    )


def test_nested_settings_round_trip(write: Write) -> None:
    settings = {
        "kind": "exclude",
        "source": write("all", *COLORS),
        "exclude_prompts_from": [write("test", SHOUTED)],
        "limit": 2,
    }
    source = build_component("sources", settings)
    assert dump_component(source) == settings
    assert build_component("sources", dump_component(source)) == source


def test_a_wrong_setting_of_a_nested_source_is_reported(write: Write) -> None:
    with pytest.raises(StudyError, match=r"sources\.0.*limt: unknown setting; did you mean 'limit'"):
        build_component(
            "sources", {"kind": "concat", "sources": [write("one", *COLORS) | {"limt": 3}, write("other", SHOUTED)]}
        )
