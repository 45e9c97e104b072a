"""Run comparison: shared metrics, paired differences on shared test pairs, aggregation over seeds, and errors."""

from __future__ import annotations

import io
import json
import shutil
import statistics
from pathlib import Path

import pytest
from large_run import create_large_run, create_stage
from rich.console import Console, Group
from typer.testing import CliRunner

from trimtab import stats
from trimtab.cli.terminal import app
from trimtab.config.study import Study
from trimtab.errors import DataError, StoreError, StudyError
from trimtab.report.collect.arm_values import load_arm_values
from trimtab.report.collect.report import collect_report
from trimtab.report.collect.rewards import format_proxy_note
from trimtab.report.page.html import render_html as page_of
from trimtab.report.run_comparison.collect import compare_runs
from trimtab.report.run_comparison.figures import parse_judge_name
from trimtab.report.run_comparison.json_format import run_comparison_to_json
from trimtab.report.run_comparison.page import render_run_comparison_page
from trimtab.report.run_comparison.seeds import find_varied_seed
from trimtab.report.run_comparison.terminal import render_run_comparison_tables
from trimtab.report.run_reader import Run
from trimtab.report.text.verdict import build_verdict
from trimtab.storage.artifacts import Draft, Store
from trimtab.storage.record import write_record
from trimtab.storage.schemas import REWARD_SCHEMA
from trimtab.storage.verdict_schema import VERDICT_SCHEMA, verdicts_to_rows
from trimtab.types import SingleVerdict, Verdict


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_large_run(tmp_path_factory.mktemp("runs") / "one", 30, 24, words=10)


@pytest.fixture(scope="module")
def same_tests(one: Path) -> Path:
    """The same study with the gold rewards of `weak` raised by one."""
    folder = shutil.copytree(one, one.parent / "same")
    import pyarrow as pa
    import pyarrow.parquet as pq

    (scores,) = folder.glob("stages/score.weak-*/scores.parquet")
    table = pq.read_table(scores)
    rows = [{**row, "value": row["value"] + 1} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), scores)
    write_record(scores.parent, json.loads((scores.parent / "record.json").read_text()))
    return Path(folder)


@pytest.fixture(scope="module")
def other_tests(one: Path) -> Path:
    return create_large_run(one.parent / "other", 12, 16, words=12)


def terminal(content: Group) -> str:
    console = Console(width=80, file=io.StringIO())
    with console.capture() as captured:
        console.print(content)
    return captured.get()


def test_on_the_same_test_pairs_differences_are_paired(one: Path, same_tests: Path) -> None:
    comparison = compare_runs([one, same_tests])
    (weak,) = (row for row in comparison.rows_for_metric("gold_reward") if row.arm == "weak")
    difference = weak.differences["same"]
    assert difference.value == pytest.approx(1.0)
    assert (difference.n, difference.n_failed) == (24, 0)
    assert difference.low == pytest.approx(1.0)
    (human,) = (row for row in comparison.rows_for_metric("gold_reward") if row.arm == "human")
    assert human.differences["same"].value == 0.0
    assert comparison.notes == ("same and one have the same 24 test pairs.",)


def test_metrics_are_those_of_each_runs_own_report(one: Path, other_tests: Path) -> None:
    comparison = compare_runs([one, other_tests])
    lengths = load_arm_values(Run(other_tests))["weak"].values["length"]
    (weak,) = (row for row in comparison.rows_for_metric("length") if row.arm == "weak")
    assert weak.metrics_by_run["other"].value == stats.mean(list(lengths.values())).value


def test_without_shared_test_pairs_there_are_no_differences_and_a_note_says_so(one: Path, other_tests: Path) -> None:
    comparison = compare_runs([one, other_tests])
    assert all(not row.differences for row in comparison.metric_rows)
    assert comparison.notes[0].startswith("other and one have no test pair in common (16 and 24)")


def test_gold_rewards_of_different_scorers_have_no_difference(one: Path, same_tests: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(same_tests, tmp_path / "scored")
    for path in folder.glob("stages/score.*/record.json"):
        write_record(path.parent, {**json.loads(path.read_text()), "settings": {"scorer": "another"}})
    comparison = compare_runs([one, folder])
    assert all(not row.differences for row in comparison.rows_for_metric("gold_reward"))
    assert all(row.differences for row in comparison.rows_for_metric("length"))
    assert any("different scorers" in note for note in comparison.notes)


def test_runs_without_a_shared_metric_are_refused_with_the_metrics_of_each(one: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(one, tmp_path / "renamed")
    index = json.loads((folder / "run.json").read_text())
    rows = [{**row, "name": f"my_{row['name']}"} for row in index["rows"]]
    (folder / "run.json").write_text(json.dumps({**index, "rows": rows}))
    with pytest.raises(
        DataError, match=r"no metric in common: one has the arms base, .*; renamed has the arms my_base"
    ):
        compare_runs([one, folder])


def test_a_single_run_and_a_folder_without_a_run_are_refused(one: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="at least two"):
        compare_runs([one, one])
    with pytest.raises(StoreError, match="holds no finished run"):
        compare_runs([one, tmp_path])


def test_an_unfinished_study_has_a_note(one: Path, same_tests: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(same_tests, tmp_path / "stopped")
    next(folder.glob("stages/score.weak-*/record.json")).unlink()
    comparison = compare_runs([one, folder])
    assert any(note.startswith("stopped: This study is ") for note in comparison.notes)
    assert "weak" not in [row.arm for row in comparison.rows_for_metric("gold_reward")]


def test_folders_with_the_same_name_get_distinct_names_from_their_paths(one: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(one, tmp_path / "second" / "one")
    assert [run.name for run in compare_runs([one, folder]).runs] == [f"{one.parent.name}/one", "second/one"]


def test_the_tables_fit_a_terminal_and_mark_what_differs(one: Path, same_tests: Path, other_tests: Path) -> None:
    text = terminal(render_run_comparison_tables(compare_runs([one, same_tests, other_tests])))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    (line,) = [line for line in text.splitlines() if line.strip().startswith("weak ") and "▲" in line]
    assert line.count("[") == line.count("]") >= 2  # no interval is cut off


def test_the_page_has_every_study_and_escapes_its_texts(one: Path, same_tests: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(same_tests, tmp_path / "<b>bold</b>")
    study = folder / "study.yaml"
    study.write_text(study.read_text() + "description: is <i>it</i> so?\n")
    text = render_run_comparison_page(compare_runs([one, folder]))
    assert "&lt;i&gt;it&lt;/i&gt;" in text
    assert "<i>" not in text
    assert "<b>" not in text
    assert "<script" not in text
    assert text.count("+1.000") >= 1


@pytest.fixture(scope="module")
def seeds(one: Path) -> list[Path]:
    """The study of `one` with two more seeds, whose gold rewards of `weak` are 0.1 and 0.3 higher."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folders = [one]
    for seed, more in ((101, 0.1), (102, 0.3)):
        folder = Path(shutil.copytree(one, one.parent / f"seed-{seed}"))
        study = Run(folder).study.model_copy(update={"seed": seed})
        (folder / "study.yaml").write_text(study.to_yaml())
        (scores,) = folder.glob("stages/score.weak-*/scores.parquet")
        table = pq.read_table(scores)
        rows = [{**row, "value": row["value"] + more} for row in table.to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), scores)
        write_record(scores.parent, json.loads((scores.parent / "record.json").read_text()))
        folders.append(folder)
    return folders


def test_one_study_with_several_seeds_is_aggregated_over_the_seeds(seeds: list[Path]) -> None:
    comparison = compare_runs(seeds)
    (weak,) = (row for row in comparison.seed_aggregates if (row.arm, row.metric) == ("weak", "gold_reward"))
    alone = [stats.mean(list(load_arm_values(Run(folder))["weak"].values["gold_reward"].values())) for folder in seeds]
    means = [mean.value or 0.0 for mean in alone]
    assert weak.mean.value == pytest.approx(sum(means) / 3)
    # the seeds' means differ by 0, 0.1 and 0.3: their standard deviation is √((0.1333² + 0.0333² + 0.1667²) / 2)
    assert weak.std.value == pytest.approx(0.152753, abs=1e-5)
    human = next(row for row in comparison.seed_aggregates if (row.arm, row.metric) == ("human", "gold_reward"))
    assert weak.differences["human"].value == pytest.approx((weak.mean.value or 0) - (human.mean.value or 0))
    assert human.std.value == pytest.approx(0.0, abs=1e-12)
    text = terminal(render_run_comparison_tables(comparison))
    assert "over 3 seeds" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "<h2>Over 3 seeds</h2>" in render_run_comparison_page(comparison)


def test_studies_that_differ_in_more_than_their_seeds_are_not_pooled(
    one: Path, same_tests: Path, seeds: list[Path]
) -> None:
    assert compare_runs([one, same_tests]).seed_aggregates == ()
    other = Path(shutil.copytree(seeds[1], one.parent / "other-settings"))
    study = Run(other).study.model_copy(update={"seed": 103, "max_length": 300})
    (other / "study.yaml").write_text(study.to_yaml())
    assert compare_runs([one, other]).seed_aggregates == ()


def test_seeds_with_their_own_splits_are_aggregated_by_their_means(one: Path, other_tests: Path) -> None:
    folder = Path(shutil.copytree(other_tests, one.parent / "own-split"))
    (folder / "study.yaml").write_text(Run(one).study.model_copy(update={"seed": 104}).to_yaml())
    comparison = compare_runs([one, folder])
    (weak,) = (row for row in comparison.seed_aggregates if (row.arm, row.metric) == ("weak", "gold_reward"))
    values_by_seed = [load_arm_values(Run(run))["weak"].values["gold_reward"] for run in (one, folder)]
    alone = stats.summarize_seeds([sum(values.values()) / len(values) for values in values_by_seed])
    assert (weak.mean, weak.std) == (alone.mean, alone.std)
    assert weak.mean.n == 2
    assert "each seed has its own split" in comparison.seed_note
    assert "each seed has its own split" in render_run_comparison_page(comparison)
    assert "each seed has its own split" in " ".join(terminal(render_run_comparison_tables(comparison)).split())


@pytest.mark.parametrize(
    ("shared", "note"),
    [(True, "variation over splits and test pairs"), (False, "each split has its own test pairs")],
)
def test_runs_that_differ_only_in_the_seed_of_their_split_are_pooled(
    one: Path, seeds: list[Path], other_tests: Path, tmp_path: Path, shared: bool, note: str
) -> None:
    folders = [
        Path(shutil.copytree(folder, tmp_path / str(number)))
        for number, folder in enumerate(seeds if shared else [one, other_tests])
    ]
    for number, folder in enumerate(folders):
        study = Run(one).study
        split = study.split.model_copy(update={"seed": number})
        (folder / "study.yaml").write_text(study.model_copy(update={"split": split}).to_yaml())
    comparison = compare_runs(folders)
    (weak,) = (row for row in comparison.seed_aggregates if (row.arm, row.metric) == ("weak", "gold_reward"))
    means = [
        stats.mean(list(load_arm_values(Run(folder))["weak"].values["gold_reward"].values())).value or 0.0
        for folder in folders
    ]
    assert weak.mean.value == pytest.approx(sum(means) / len(means))
    assert weak.variance.value == pytest.approx(statistics.variance(means))
    assert note in comparison.seed_note
    document = run_comparison_to_json(comparison)
    assert next(row for row in document["seeds"] if row["arm"] == "weak")["variance"]["n"] == len(folders)


def studies(one: Path, *seeds: tuple[int, int | None]) -> list[Study]:
    study = Run(one).study
    return [
        study.model_copy(update={"seed": seed, "split": study.split.model_copy(update={"seed": split})})
        for seed, split in seeds
    ]


def test_the_varied_seed_differs_between_all_runs(one: Path) -> None:
    assert find_varied_seed(studies(one, (1, None), (2, None))) == "seed"
    assert find_varied_seed(studies(one, (1, 5), (2, 5))) == "seed"
    assert find_varied_seed(studies(one, (1, 5), (1, 6), (1, 7))) == "split seed"
    assert find_varied_seed(studies(one, (1, 5), (2, 6))) == "seed"
    assert find_varied_seed(studies(one, (1, 5), (1, 5))) is None
    assert (
        find_varied_seed(studies(one, (1, 5), (1, 6), (2, 5), (2, 6))) is None
    )  # a grid: its runs are not independent


def test_variants_that_differ_in_a_seed_only_are_pooled_though_they_have_names_of_their_own(one: Path) -> None:
    variants = [
        study.model_copy(update={"name": f"seeds-{study.split.seed}", "description": f"split {study.split.seed}"})
        for study in studies(one, (1, 5), (1, 6))
    ]
    assert find_varied_seed(variants) == "split seed"


def test_seeds_on_the_same_test_pairs_have_a_note_on_their_intervals(seeds: list[Path]) -> None:
    assert "variation over seeds and test pairs" in compare_runs(seeds).seed_note


def test_label_metrics_and_costs_are_compared(one: Path, same_tests: Path) -> None:
    comparison = compare_runs([one, same_tests])
    rows = {(row.arm, row.metric): row for row in comparison.metric_rows}
    # 200 tokens and 0.01 s for each of the labels of `weak`
    assert {name: each.value for name, each in rows["weak", "tokens_per_pair"].metrics_by_run.items()} == {
        "one": 200,
        "same": 200,
    }
    assert rows["weak", "seconds_per_pair"].metrics_by_run["one"].low is None
    (label,) = (each for each in comparison.runs[0].report.labels if each.arm == "weak")
    assert rows["weak", "agreement"].metrics_by_run["one"] == label.metrics["agreement"]
    assert "Tokens per pair" in render_run_comparison_page(comparison)


def judged(one: Path, name: str, baseline: str) -> Path:
    """The study with a judge that prefers every answer of `weak`, twice."""
    folder = Path(shutil.copytree(one, one.parent / name))
    study = folder / "study.yaml"
    study.write_text(study.read_text() + "judges: {small: {kind: pairwise, engine: smollm2-135m-instruct}}\n")
    first, second = SingleVerdict(choice="first"), SingleVerdict(choice="second")
    verdicts = [Verdict(id=pair.prompt_id, outcome="win", forward=first, reversed=second) for pair in Run(one).test]

    def make(draft: Draft) -> dict[str, int]:
        draft.write_rows("verdicts", verdicts_to_rows(verdicts), VERDICT_SCHEMA)
        return {"comparisons": len(verdicts)}

    stage = create_stage(Store(folder), "judge.weak.small", "judge", make)[1].folder.name
    index = json.loads((folder / "run.json").read_text())
    rows = [{**row, "verdicts": {"small": stage} if row["name"] == "weak" else {}} for row in index["rows"]]
    changed = {**index, "rows": rows, "baseline": baseline, "stages": [*index["stages"], stage]}
    (folder / "run.json").write_text(json.dumps(changed))
    return folder


def test_metrics_of_the_same_judge_are_compared_and_of_different_judges_are_not(one: Path) -> None:
    here, there, other = (judged(one, name, row) for name, row in (("a", "sft"), ("b", "sft"), ("c", "base")))
    (weak,) = compare_runs([here, there]).rows_for_metric("win_rate.small")
    assert {name: (metric.value, metric.n) for name, metric in weak.metrics_by_run.items()} == {
        "a": (1.0, 24),
        "b": (1.0, 24),
    }
    assert "Win rate (small)" in terminal(render_run_comparison_tables(compare_runs([here, there])))
    comparison = compare_runs([here, other])
    assert not any(parse_judge_name(metric) for metric in comparison.metric_names)
    assert any(note.startswith("Judge small or its baseline differs between runs") for note in comparison.notes)


def test_the_judge_is_parsed_from_a_metric_name() -> None:
    names = (
        "win_rate.small",
        "length_controlled_win_rate.small",
        "order_inconsistency.small",
        "order_inconsistency",
        "accuracy.helpful",
    )
    assert [parse_judge_name(name) for name in names] == ["small", "small", "small", "", ""]


TRAINED = "{kind: study_reward_model, data: {kind: starter, limit: 60, seed: 5}, model: smollm2-135m-instruct}"


def test_a_reward_model_trained_by_one_study_is_not_compared_with_a_gold_reward(one: Path) -> None:
    folder = Path(shutil.copytree(one, one.parent / "proxied"))
    study = folder / "study.yaml"
    study.write_text(study.read_text().replace("{gold: synthetic_checker}", f"{{gold: {TRAINED}}}"))
    rows = [{"id": pair.id, "a": 1.0, "b": 0.5} for pair in Run(one).test]

    def make(draft: Draft) -> dict[str, int]:
        draft.write_rows("rewards", rows, REWARD_SCHEMA)
        return {"examples": 60}

    stage = create_stage(Store(folder), "reward-test.gold", "score-pairs", make)[1].folder.name
    index = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**index, "test_rewards": {"gold": stage}}))
    comparison = compare_runs([one, folder])
    assert comparison.rows_for_metric("gold_reward") == comparison.rows_for_metric("proxy_reward") == []
    assert "proxy reward" in build_verdict(comparison.runs[1].report)[0]
    assert "gold reward" not in terminal(render_run_comparison_tables(comparison)).partition("proxied\n")[2].lower()


def test_a_reward_model_that_the_study_trains_is_a_proxy_before_it_has_scored_the_test_pairs(one: Path) -> None:
    folder = Path(shutil.copytree(one, one.parent / "proxy-to-come"))
    study = folder / "study.yaml"
    study.write_text(study.read_text().replace("{gold: synthetic_checker}", f"{{gold: {TRAINED}}}"))
    index = json.loads((folder / "run.json").read_text())
    stage = "pair-scores.test.gold-0"
    changed = {**index, "test_rewards": {"gold": stage}, "stages": [*index["stages"], stage]}
    (folder / "run.json").write_text(json.dumps(changed))
    report = collect_report(folder)
    (info,) = report.rewards
    assert (info.is_proxy, info.metric, info.agreement.value) == (True, "gold_reward", None)
    assert format_proxy_note(info) in report.notes
    page = page_of(report)
    assert "a proxy: trained by the study</small>" in page
    assert "Proxy reward" in page
    assert "Gold reward</" not in page
    comparison = compare_runs([one, folder])
    assert comparison.rows_for_metric("gold_reward") == comparison.rows_for_metric("proxy_reward") == []
    assert "proxy reward" in build_verdict(comparison.runs[1].report)[0]


def test_a_judge_is_compared_across_all_runs_that_have_it(one: Path) -> None:
    here, other = judged(one, "second", "sft"), judged(one, "third", "base")
    comparison = compare_runs([one, here, other])
    assert not any(parse_judge_name(metric) for metric in comparison.metric_names)
    assert [note for note in comparison.notes if note.startswith("Judge small")] == [
        "Judge small or its baseline differs between runs: its metrics are left out."
    ]


def test_a_note_names_the_baseline_of_a_judge(one: Path) -> None:
    comparison = compare_runs([judged(one, "once", "sft"), judged(one, "twice", "sft")])
    note = "Judge small compares responses with those of sft; a win rate of 0.5 means equally good."
    assert comparison.notes.count(note) == 1
    assert note in render_run_comparison_page(comparison)
    assert note in run_comparison_to_json(comparison)["notes"]


def test_rewards_of_different_scorers_have_a_note_even_if_the_first_run_has_none(one: Path, tmp_path: Path) -> None:
    folders = [Path(shutil.copytree(one, tmp_path / name)) for name in ("bare", "left", "right")]
    for path in folders[0].glob("stages/score.*/record.json"):
        path.unlink()
    for path in folders[2].glob("stages/score.*/record.json"):
        write_record(path.parent, {**json.loads(path.read_text()), "settings": {"scorer": "another"}})
    notes = [note for note in compare_runs(folders).notes if "different scorers" in note]
    assert notes == [
        "Gold reward of right and of left comes from different scorers: the values are listed without a difference."
    ]


def test_differences_over_seeds_include_the_rows_that_a_study_requests(seeds: list[Path], tmp_path: Path) -> None:
    folders = [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in seeds]
    for folder in folders:
        study = Run(folder).study
        arm = study.arms["weak_sure"].model_copy(update={"compare_with": ("weak_model",)})
        arms = {**study.arms, "weak_sure": arm}
        (folder / "study.yaml").write_text(study.model_copy(update={"arms": arms}).to_yaml())
    comparison = compare_runs(folders)
    rows = {row.arm: row for row in comparison.seed_aggregates if row.metric == "gold_reward"}
    assert list(rows["weak_sure"].differences) == ["sft", "human", "weak", "flipped", "weak_model"]
    assert "weak_model" not in rows["weak"].differences
    value, baseline = (rows[arm].mean.value or 0 for arm in ("weak_sure", "weak_model"))
    assert rows["weak_sure"].differences["weak_model"].value == pytest.approx(value - baseline)
    assert '<th scope="col">minus weak_model</th>' in render_run_comparison_page(comparison)
    text = terminal(render_run_comparison_tables(comparison))
    assert "minus weak_model" in text
    assert max(map(len, text.splitlines())) <= 80
    (document,) = (
        row
        for row in run_comparison_to_json(comparison)["seeds"]
        if (row["arm"], row["metric"]) == ("weak_sure", "gold_reward")
    )
    assert document["differences"]["weak_model"]["value"] == rows["weak_sure"].differences["weak_model"].value


def test_every_metric_is_in_the_json_file(seeds: list[Path], tmp_path: Path) -> None:
    comparison = compare_runs(seeds)
    document = json.loads(json.dumps(run_comparison_to_json(comparison), allow_nan=False))
    assert [run["seed"] for run in document["runs"]] == [Run(folder).study.seed for folder in seeds]
    (weak,) = (row for row in document["metrics"] if (row["arm"], row["metric"]) == ("weak", "gold_reward"))
    assert set(weak["runs"]) == {"one", "seed-101", "seed-102"}
    assert weak["differences"]["seed-101"]["value"] == pytest.approx(0.1)
    assert {row["metric"] for row in document["seeds"]} >= {"gold_reward", "accuracy"}
    assert comparison.seed_note in document["notes"]
    file = tmp_path / "made" / "compared.json"
    result = CliRunner().invoke(app, ["compare", *map(str, seeds), "--json", str(file)])
    assert (result.exit_code, json.loads(file.read_text())) == (0, document)
    assert str(file) in result.output.replace("\n", "")
