"""The answers of all raters become one file that other commands read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from labeling_pool import answer_current, build_pool, open_session

from trimtab.data.parsing.label_files import read_labels
from trimtab.errors import DataError, StudyError
from trimtab.labeling.label_files import validate_label_file, write_labels
from trimtab.labeling.pair_votes import HumanLabel, combine_answers, read_rater_histories
from trimtab.labeling.rater_summary import format_rater_summary, summarize_raters
from trimtab.types import Message, Pair
from trimtab.workflows.pair_files import build_pair_file

PAIRS = build_pool(12)
# By rater: what each of them prefers in every pair.
TASTES = {"ana": "good", "ben": "good", "eve": "bad"}


def label_all(folder: Path, taste_by_rater: dict[str, str], pairs: list[Pair]) -> list[HumanLabel]:
    """Every rater labels all pairs by taste, or answers `skip` or `no_difference`."""
    for rater, taste in taste_by_rater.items():
        session = open_session(folder, pairs, rater=rater)
        while (current := session.current) is not None:
            left = pairs[[pair.id for pair in pairs].index(current.pair_id)].response(current.left)
            by_side = "left" if left.startswith(taste) else "right"
            choice = taste if taste in ("skip", "no_difference") else by_side
            answer_current(session, f"{rater} {current.id}", choice)  # type: ignore[arg-type]
    return combine_answers(read_rater_histories(folder, pairs), pairs)


def test_the_probability_is_the_share_of_votes(tmp_path: Path) -> None:
    labels = label_all(tmp_path, TASTES, PAIRS)
    assert [label.pair for label in labels] == PAIRS
    for label in labels:
        assert label.p_a == pytest.approx(2 / 3 if label.pair.a.startswith("good") else 1 / 3)
        assert label.inclusion_probability == 1.0


def test_no_difference_counts_one_half_and_a_skip_nothing(tmp_path: Path) -> None:
    labels = label_all(tmp_path, {"ana": "good", "ben": "no_difference", "eve": "skip"}, PAIRS)
    assert {abs((label.p_a or 0) - 0.5) for label in labels} == {0.25}
    (label, *_) = label_all(tmp_path / "skipped", {"ana": "skip"}, PAIRS)
    assert (label.p_a, label.to_annotation().status) == (None, "abstained")


def test_the_inclusion_probability_is_the_share_of_the_pool_that_was_shown(tmp_path: Path) -> None:
    session = open_session(tmp_path, PAIRS)
    for number in range(3):
        answer_current(session, str(number), "left")
    labels = combine_answers(read_rater_histories(tmp_path, PAIRS), PAIRS)
    assert [label.inclusion_probability for label in labels] == [0.25] * 3


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_the_file_is_read_as_pairs_with_human_labels_and_as_labels(tmp_path: Path, suffix: str) -> None:
    labels, path = label_all(tmp_path, TASTES, PAIRS), tmp_path / f"labeled{suffix}"
    write_labels(path, labels, "rows")
    dataset = build_pair_file(path, {}).load()
    assert dataset.failures == ()
    assert {pair.id: pair.response(pair.human or "a") for pair in dataset.pairs} == {
        pair.id: pair.response("a" if pair.a.startswith("good") else "b") for pair in PAIRS
    }
    read = read_labels(str(path))
    assert {pair_id: label.p_a for pair_id, label in read.items()} == {label.pair.id: label.p_a for label in labels}


def test_pairs_without_a_preferred_response_are_left_out_or_read_as_unlabeled(tmp_path: Path) -> None:
    labels = label_all(tmp_path, {"ana": "good", "eve": "bad"}, PAIRS)
    write_labels(tmp_path / "labeled.jsonl", labels, "rows")
    assert (tmp_path / "labeled.jsonl").read_text() == ""
    write_labels(tmp_path / "all.jsonl", labels, "all")
    dataset = build_pair_file(tmp_path / "all.jsonl", {}).load()
    assert [pair.human for pair in dataset.pairs] == [None] * len(PAIRS)
    assert dataset.failures == ()
    assert {label.p_a for label in read_labels(str(tmp_path / "all.jsonl")).values()} == {0.5}


def test_dawid_skene_trusts_raters_who_agree_with_each_other(tmp_path: Path) -> None:
    tastes = {"ana": "good", "ben": "good", "eve": "good", "mia": "bad", "tom": "bad"}
    label_all(tmp_path, tastes, PAIRS)
    histories = read_rater_histories(tmp_path, PAIRS)
    share, posterior = (combine_answers(histories, PAIRS, rule) for rule in ("votes", "dawid_skene"))
    for by_votes, by_accuracy in zip(share, posterior, strict=True):
        good = "a" if by_votes.pair.a.startswith("good") else "b"
        assert by_votes.to_annotation().choice == by_accuracy.to_annotation().choice == good
        assert by_votes.p_a == pytest.approx(0.6 if good == "a" else 0.4)
        assert by_accuracy.p_a is not None
        assert max(by_accuracy.p_a, 1 - by_accuracy.p_a) > 0.99


def test_dawid_skene_keeps_skipped_pairs_without_a_label(tmp_path: Path) -> None:
    label_all(tmp_path, {"ana": "skip", "ben": "skip", "eve": "no_difference"}, PAIRS)
    labels = combine_answers(read_rater_histories(tmp_path, PAIRS), PAIRS, "dawid_skene")
    assert {label.p_a for label in labels} == {0.5}
    label_all(tmp_path / "skipped", dict.fromkeys(("ana", "ben", "eve"), "skip"), PAIRS)
    labels = combine_answers(read_rater_histories(tmp_path / "skipped", PAIRS), PAIRS, "dawid_skene")
    assert {label.p_a for label in labels} == {None}


def test_dawid_skene_with_two_raters_and_an_unknown_rule_are_errors(tmp_path: Path) -> None:
    label_all(tmp_path, {"ana": "good", "ben": "bad"}, PAIRS)
    histories = read_rater_histories(tmp_path, PAIRS)
    with pytest.raises(StudyError, match=r"--combine dawid_skene: needs the answers of 3 raters, .* found ana, ben"):
        combine_answers(histories, PAIRS, "dawid_skene")
    with pytest.raises(StudyError, match="--combine: must be one of votes, dawid_skene, got 'mean'"):
        combine_answers(histories, PAIRS, "mean")


def test_raters_without_answers_do_not_count(tmp_path: Path) -> None:
    label_all(tmp_path, {"ana": "good"}, PAIRS)
    open_session(tmp_path, PAIRS, rater="ben")
    assert list(read_rater_histories(tmp_path, PAIRS)) == ["ana"]


def test_individual_votes_are_in_the_file(tmp_path: Path) -> None:
    write_labels(tmp_path / "labeled.jsonl", label_all(tmp_path, TASTES, PAIRS), "rows")
    row = json.loads((tmp_path / "labeled.jsonl").read_text().splitlines()[0])
    good = "a" if row["response_a"].startswith("good") else "b"
    bad = "b" if good == "a" else "a"
    assert [(vote["rater"], vote["vote"]) for vote in row["votes"]] == [("ana", good), ("ben", good), ("eve", bad)]
    assert row["num_raters"] == 3


def test_trl_rows_have_the_preferred_response_first(tmp_path: Path) -> None:
    write_labels(tmp_path / "trl.jsonl", label_all(tmp_path, TASTES, PAIRS), "trl")
    rows = [json.loads(line) for line in (tmp_path / "trl.jsonl").read_text().splitlines()]
    assert len(rows) == len(PAIRS)
    for row in rows:
        assert row["chosen"][0]["content"].startswith("good")
        assert row["rejected"][0]["content"].startswith("bad")
        assert row["trimtab_p_chosen"] == pytest.approx(2 / 3)


def test_tool_calls_keep_the_pair_the_same(tmp_path: Path) -> None:
    tools = '[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]'
    prompt = (Message(role="tools", content=tools), Message(role="user", content="Weather in Oslo?"))
    call = '<tool_call name="weather" id="c1">{"town": "Oslo"}</tool_call>'
    pair = Pair.from_responses(prompt, f"good\n{call}", "bad")
    write_labels(tmp_path / "labeled.jsonl", label_all(tmp_path, {"ana": "good"}, [pair]), "rows")
    assert [each.id for each in build_pair_file(tmp_path / "labeled.jsonl", {}).load().pairs] == [pair.id]


def test_an_unknown_format_or_suffix_and_a_file_of_the_pool_are_errors(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.touch()
    with pytest.raises(StudyError, match="--format: must be one of rows, all, trl"):
        validate_label_file(tmp_path / "labels.jsonl", pool, "csv")
    with pytest.raises(StudyError, match=r"--export .*labels\.csv: the suffix must be one of \.jsonl, \.parquet"):
        validate_label_file(tmp_path / "labels.csv", pool, "trl")
    with pytest.raises(StudyError, match=r"pool\.jsonl: the labels would replace the pool"):
        validate_label_file(pool, tmp_path, "rows")


def test_a_folder_without_labels_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no labels; start with trimtab label POOL --rater NAME"):
        read_rater_histories(tmp_path, PAIRS)


def test_labels_of_another_pool_are_an_error(tmp_path: Path) -> None:
    open_session(tmp_path, PAIRS)
    with pytest.raises(DataError, match=r"ana\.jsonl: has labels of another pool"):
        read_rater_histories(tmp_path, build_pool(13))


def test_the_summary_names_agreement_consistency_and_sides(tmp_path: Path) -> None:
    pairs = build_pool(60)
    labels = label_all(tmp_path, TASTES, pairs)
    summary = summarize_raters(read_rater_histories(tmp_path, pairs), {pair.id: pair.prompt_id for pair in pairs})
    # three raters, of whom one always disagrees with the two others
    assert [each.agreement.value for each in summary.agreements] == [1.0, 0.0, 0.0]
    assert [each.self_consistency.value for each in summary.raters] == [1.0] * 3
    assert summary.alpha is not None
    assert summary.alpha.value == pytest.approx(-0.33, abs=0.02)
    text = format_rater_summary(summary, labels)
    assert text.startswith(
        "pairs with a preferred response: 60, without: 0, skipped by every rater: 0\nana: preferences 60,"
    )
    assert "  same answer on repeats: 100% [61%, 100%] of 6 repeats" in text
    assert "ana and ben: same answer 100% [" in text
