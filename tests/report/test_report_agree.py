"""Two sources of labels side by side: worked figures, who is right where they differ, and what does not meet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_run import TEST, UNLABELED, make_run
from rich.console import Console

from trimtab.errors import DataError, StudyError
from trimtab.report.label_comparison.metrics import compare_label_sources, compare_labels, label_comparison_to_json
from trimtab.report.label_comparison.sources import LabelSource, LabelSourcePair, read_label_sources
from trimtab.report.label_comparison.terminal import render_label_comparison, summarize_label_comparison
from trimtab.types import Annotation, Pair, build_user_prompt


def pair(key: str, a: int, b: int, human: str | None) -> Pair:
    return Pair(id=key, prompt=build_user_prompt(f"{key}?"), a="x" * a, b="y" * b, human=human)  # type: ignore[arg-type]


# A and B agree on p, q and t, differ on r and s; B says nothing of u, and v is labeled by A alone.
PAIRS = {
    each.id: each
    for each in (
        pair("p", 9, 1, "a"),
        pair("q", 4, 2, "b"),
        pair("r", 6, 1, "a"),
        pair("s", 2, 7, "b"),
        pair("t", 5, 5, "b"),
        pair("u", 3, 1, "a"),
        pair("v", 3, 2, None),
    )
}
A = {"p": 0.9, "q": 0.2, "r": 0.6, "s": 0.3, "t": 0.8, "u": 0.7, "v": 0.7}
B = {"p": 0.6, "q": 0.1, "r": 0.4, "s": 0.9, "t": 0.7, "u": None}
GOLD = {"proxy": {"p": (2.0, 1.0), "q": (0.0, 3.0), "r": (5.0, 4.5), "s": (1.0, 0.0), "t": (0.0, 0.25)}}


def labels(p_a: dict[str, float] | dict[str, float | None]) -> dict[str, Annotation]:
    return {
        key: Annotation(pair_id=key, p_a=each, status="abstained" if each is None else "ok")
        for key, each in p_a.items()
    }


def both(*, pairs: bool = True, gold: bool = False) -> LabelSourcePair:
    return LabelSourcePair(
        a=LabelSource(name="A.jsonl", labels=labels(A)),
        b=LabelSource(name="B.jsonl", labels=labels(B)),
        pairs=PAIRS if pairs else {},
        gold_rewards=GOLD if gold else {},
    )


def rendered(what: object, width: int = 100) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


@pytest.fixture(scope="module")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("agree") / "run")


def written(path: Path, p_a: dict[str, float]) -> str:
    rows = [{"id": key, "p_a": each, "margin": None, "status": "ok"} for key, each in p_a.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_agreement_is_over_the_pairs_on_which_both_prefer_a_response() -> None:
    compared = compare_labels(both())
    assert (compared.num_shared, compared.agreement.n) == (6, 5)
    assert compared.agreement.value == pytest.approx(3 / 5)
    # A prefers a on p, r, t and B on p, s, t: chance is 0.6² + 0.4², and (0.6 - 0.52) / 0.48 is beyond it
    assert compared.kappa.value == pytest.approx(1 / 6)


def test_each_set_tells_length_confidence_and_who_is_right() -> None:
    sets = compare_labels(both()).subsets
    assert {name: each.num_pairs for name, each in sets.items()} == {"all": 5, "match": 3, "mismatch": 2}
    found = {name: {key: metric.value for key, metric in each.metrics.items()} for name, each in sets.items()}
    assert found["match"] == pytest.approx(
        {
            "share": 3 / 5,
            "confidence_a": (0.9 + 0.8 + 0.8) / 3,
            "confidence_b": (0.6 + 0.9 + 0.7) / 3,
            "accuracy_a": 2 / 3,
            "accuracy_b": 2 / 3,
            "lead": (8 - 2 + 0) / 3,
            "length": (9 + 2 + 5) / 3,
        }
    )
    assert found["mismatch"] == pytest.approx(
        {
            "share": 2 / 5,
            "confidence_a": (0.6 + 0.7) / 2,
            "confidence_b": (0.6 + 0.9) / 2,
            "accuracy_a": 1.0,
            "accuracy_b": 0.0,
            "lead": (5 + 5) / 2,
            "length": (6 + 7) / 2,
        }
    )


def test_gold_rewards_are_of_what_a_prefers_and_of_the_other_response_and_mix_as_the_sets_do() -> None:
    sets = compare_labels(both(gold=True)).subsets
    found = {name: each.metrics["gold_difference.proxy"].value or 0 for name, each in sets.items()}
    assert found["match"] == pytest.approx((1 + 3 - 0.25) / 3)
    assert found["mismatch"] == pytest.approx((0.5 - 1) / 2)
    assert found["all"] == pytest.approx(0.6 * found["match"] + 0.4 * found["mismatch"])
    assert sets["mismatch"].metrics["gold_preferred.proxy"].value == pytest.approx((5.0 + 0.0) / 2)
    assert sets["mismatch"].metrics["gold_other.proxy"].value == pytest.approx((4.5 + 1.0) / 2)


def test_pairs_can_be_told_apart_and_equal_ones_stay_together() -> None:
    bins = compare_labels(both(), "confidence").bins
    # A is sure 0.6, 0.7, 0.8, 0.8, 0.9 on r, s, q, t, p
    assert [(each.low, each.high, each.metrics["agreement"].n) for each in bins] == [
        (0.6, 0.7, 2),
        (0.8, 0.8, 2),
        (0.9, 0.9, 1),
    ]
    assert [each.metrics["agreement"].value for each in bins] == [0.0, 1.0, 1.0]
    assert [each.metrics["accuracy_a"].value for each in bins] == [1.0, 0.5, 1.0]


@pytest.mark.parametrize(("by", "first"), [("length", (0, 2)), ("gold", (0.25, 0.5))])
def test_pairs_can_be_told_apart_by_length_and_by_gold_reward(by: str, first: tuple[float, float]) -> None:
    bins = compare_labels(both(gold=True), by).bins  # type: ignore[arg-type]
    assert (bins[0].low, bins[0].high) == first
    assert sum(each.metrics["agreement"].n for each in bins) == 5


@pytest.mark.parametrize(("by", "said"), [("length", "--pairs FILE"), ("gold", "no gold reward has read these pairs")])
def test_what_pairs_are_to_be_told_apart_by_must_be_known(by: str, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        compare_labels(both(pairs=False), by)  # type: ignore[arg-type]


def test_without_pairs_there_are_agreement_and_confidence_and_a_note_of_what_is_missing() -> None:
    compared = compare_labels(both(pairs=False))
    assert set(compared.subsets["all"].metrics) == {"share", "confidence_a", "confidence_b"}
    assert "need the pairs" in compared.notes[0]


def test_no_one_is_called_better_whose_interval_says_otherwise() -> None:
    assert summarize_label_comparison(compare_labels(both()))[1] == (
        "Where they differ, people are with A on 1.000 [0.012, 1.000] of 2 pairs: neither can be told to be the better."
    )


def test_the_one_whom_people_are_with_is_the_better() -> None:
    many = {f"{place:02}": pair(f"{place:02}", 2, 1, "b" if place % 5 else "a") for place in range(40)}
    sources = [
        LabelSource(name=name, labels=labels(dict.fromkeys(many, p_a))) for name, p_a in (("x", 0.9), ("y", 0.1))
    ]
    (_, said) = summarize_label_comparison(compare_labels(LabelSourcePair(a=sources[0], b=sources[1], pairs=many)))
    assert said.endswith("people are with A on 0.200 [0.102, 0.355] of 40 pairs: B is the better.")


def test_the_tables_fit_80_columns_and_show_every_figure() -> None:
    text = rendered(render_label_comparison(compare_labels(both(gold=True), "confidence")), 80)
    assert max(map(len, text.splitlines())) <= 80
    for told in ("match, 3 pairs", "accuracy B", "proxy: gap", "confidence", "0.8 to 0.8"):
        assert told in text
    assert text.count("[") == text.count("]")  # no interval is cut off


def test_a_file_of_labels_and_an_arm_of_a_run_meet_on_the_pairs_of_the_run(made_run: Path, tmp_path: Path) -> None:
    p_a = {each.id: 0.9 if each.human == "a" else 0.1 for each in UNLABELED}
    to = tmp_path / "agree.json"
    compared = compare_label_sources(written(tmp_path / "l.jsonl", p_a), f"{made_run}:human", "length", None, to)
    assert (compared.agreement.value, compared.agreement.n) == (1.0, len(UNLABELED))
    assert (compared.b.is_human, compared.subsets["mismatch"].num_pairs) == (True, 0)
    document = json.loads(to.read_text(encoding="utf-8"))
    assert document["agreement"] == {"value": 1.0, "low": compared.agreement.low, "high": 1.0, "n": 5, "n_failed": 0}
    assert document["sets"]["match"]["pairs"] == 5
    assert document == json.loads(json.dumps(label_comparison_to_json(compared)))


def test_people_can_be_asked_for_by_name_where_the_pairs_are_known(made_run: Path, tmp_path: Path) -> None:
    assert compare_label_sources(f"{made_run}:seam", "human", None, None, None).b.num_labels == len(UNLABELED)
    file = written(tmp_path / "l.jsonl", {each.id: 0.9 for each in UNLABELED})
    with pytest.raises(DataError, match="human: there are no human labels: no pairs are named"):
        compare_label_sources(file, "human", None, None, None)


def test_labels_of_another_side_of_the_split_are_told_by_its_name(made_run: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "l.jsonl", {each.id: 0.9 for each in TEST})
    with pytest.raises(
        DataError, match=r"none of its 1 labels is of a pair in the unlabeled pairs .* of its test pairs"
    ):
        read_label_sources(file, f"{made_run}:human", None)


def test_labels_of_other_pairs_are_refused_where_pairs_are_known_and_where_not(made_run: Path, tmp_path: Path) -> None:
    here, there = written(tmp_path / "x.jsonl", {"x": 0.9}), written(tmp_path / "y.jsonl", {"y": 0.9})
    with pytest.raises(DataError, match="labels of other pairs or of another split"):
        read_label_sources(here, f"{made_run}:human", None)
    with pytest.raises(DataError, match="label no pair in common: 1 and 1 pairs"):
        read_label_sources(here, there, None)


def test_sources_that_prefer_nothing_together_are_refused() -> None:
    silent = LabelSource(name="B", labels=labels({"p": None, "q": 0.5}))
    with pytest.raises(DataError, match="share 2 pairs, and on none of them do both prefer a response"):
        compare_labels(LabelSourcePair(a=LabelSource(name="A", labels=labels(A)), b=silent))


def test_some_labels_of_other_pairs_are_left_out_and_counted(made_run: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "l.jsonl", {**{each.id: 0.9 for each in UNLABELED}, "strange": 0.9})
    compared = compare_label_sources(file, f"{made_run}:human", None, None, None)
    assert compared.num_shared == len(UNLABELED)
    assert compared.notes == (f"1 of the 6 labels of {file} are of other pairs and left out",)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{run}", r"name one of its arms, as in .*:ARM \(there are: human, seam, "),
        ("{run}:base", r"there is no arm 'base' with labels \(there are: human"),
        ("nowhere.jsonl", "no such file of labels, and not DIR:ARM"),
        ("nowhere:weak", "no such file of labels, and not DIR:ARM"),
    ],
)
def test_a_source_that_is_none_is_refused_with_what_would_do(made_run: Path, source: str, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        read_label_sources(source.format(run=made_run), f"{made_run}:human", None)


def test_what_pairs_are_told_apart_by_is_checked_before_anything_is_read() -> None:
    with pytest.raises(StudyError, match=r"--by confidance: must be one of .*did you mean 'confidence'"):
        compare_label_sources("nowhere", "nowhere", "confidance", None, None)
