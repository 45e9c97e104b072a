"""Studies side by side: figures in common, paired differences on common test rows, and what is refused."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from large_run import _stage as made
from large_run import make_large
from rich.console import Console, Group
from typer.testing import CliRunner

from trimtab import stats
from trimtab.cli.terminal import app
from trimtab.errors import DataError, StoreError, StudyError
from trimtab.report.collect.report import collect_report, load_arm_values
from trimtab.report.collect.rewards import format_proxy_note
from trimtab.report.page.html import render_html as page_of
from trimtab.report.run_comparison.collect import compare_runs
from trimtab.report.run_comparison.figures import parse_judge_name
from trimtab.report.run_comparison.json_format import run_comparison_to_json
from trimtab.report.run_comparison.page import render_run_comparison_page
from trimtab.report.run_comparison.terminal import render_run_comparison_tables
from trimtab.report.run_reader import Run
from trimtab.report.text.verdict import build_verdict
from trimtab.storage.artifacts import Draft, Store, canonical_json
from trimtab.storage.schemas import REWARD_SCHEMA
from trimtab.storage.verdict_schema import VERDICT_SCHEMA, verdicts_to_rows
from trimtab.types import SingleVerdict, Verdict


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_large(tmp_path_factory.mktemp("runs") / "one", 30, 24, words=10)


@pytest.fixture(scope="module")
def same_tests(one: Path) -> Path:
    """The same study with other gold rewards of `weak`: each is one higher."""
    folder = shutil.copytree(one, one.parent / "same")
    import pyarrow as pa
    import pyarrow.parquet as pq

    (scores,) = folder.glob("stages/score.weak-*/scores.parquet")
    table = pq.read_table(scores)
    rows = [{**row, "value": row["value"] + 1} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), scores)
    return Path(folder)


@pytest.fixture(scope="module")
def other_tests(one: Path) -> Path:
    return make_large(one.parent / "other", 12, 16, words=12)


def terminal(found: Group) -> str:
    console = Console(width=80, file=io.StringIO())
    with console.capture() as captured:
        console.print(found)
    return captured.get()


def test_on_the_same_test_pairs_differences_are_paired(one: Path, same_tests: Path) -> None:
    found = compare_runs([one, same_tests])
    (weak,) = (entry for entry in found.rows_for_metric("gold_reward") if entry.arm == "weak")
    difference = weak.differences["same"]
    assert difference.value == pytest.approx(1.0)
    assert (difference.n, difference.n_failed) == (24, 0)
    assert difference.low == pytest.approx(1.0)
    (human,) = (entry for entry in found.rows_for_metric("gold_reward") if entry.arm == "human")
    assert human.differences["same"].value == 0.0
    assert found.notes == ("same and one have the same 24 test pairs.",)


def test_figures_are_those_of_each_studys_own_report(one: Path, other_tests: Path) -> None:
    found = compare_runs([one, other_tests])
    rows = load_arm_values(Run(other_tests))["weak"].values["length"]
    (weak,) = (entry for entry in found.rows_for_metric("length") if entry.arm == "weak")
    assert weak.metrics_by_run["other"].value == stats.mean(list(rows.values())).value


def test_without_common_test_pairs_there_are_no_differences_and_it_is_said(one: Path, other_tests: Path) -> None:
    found = compare_runs([one, other_tests])
    assert all(not entry.differences for entry in found.metric_rows)
    assert found.notes[0].startswith("other and one have no test pair in common (16 and 24)")


def test_gold_rewards_of_different_scorers_have_no_difference(one: Path, same_tests: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(same_tests, tmp_path / "scored")
    for path in folder.glob("stages/score.*/record.json"):
        record = json.loads(path.read_text())
        path.write_text(canonical_json({**record, "settings": {"scorer": "another"}}))
    found = compare_runs([one, folder])
    assert all(not entry.differences for entry in found.rows_for_metric("gold_reward"))
    assert all(entry.differences for entry in found.rows_for_metric("length"))
    assert any("different scorers" in note for note in found.notes)


def test_studies_with_nothing_in_common_are_refused_with_what_each_has(one: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(one, tmp_path / "renamed")
    index = json.loads((folder / "run.json").read_text())
    arms = [{**arm, "name": f"my_{arm['name']}"} for arm in index["arms"]]
    (folder / "run.json").write_text(json.dumps({**index, "arms": arms}))
    with pytest.raises(DataError, match=r"nothing in common: one has the arms base, .*; renamed has the arms my_base"):
        compare_runs([one, folder])


def test_one_study_alone_and_a_folder_without_a_run_are_refused(one: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="at least two"):
        compare_runs([one, one])
    with pytest.raises(StoreError, match="holds no finished run"):
        compare_runs([one, tmp_path])


def test_a_study_that_is_not_finished_is_told(one: Path, same_tests: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(same_tests, tmp_path / "stopped")
    next(folder.glob("stages/score.weak-*/record.json")).unlink()
    found = compare_runs([one, folder])
    assert any(note.startswith("stopped: This study is not finished") for note in found.notes)
    assert "weak" not in [entry.arm for entry in found.rows_for_metric("gold_reward")]


def test_folders_of_one_name_are_told_apart_by_their_paths(one: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(one, tmp_path / "elsewhere" / "one")
    assert [side.name for side in compare_runs([one, folder]).runs] == [f"{one.parent.name}/one", "elsewhere/one"]


def test_the_tables_fit_a_terminal_and_mark_what_differs(one: Path, same_tests: Path, other_tests: Path) -> None:
    text = terminal(render_run_comparison_tables(compare_runs([one, same_tests, other_tests])))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    (line,) = [line for line in text.splitlines() if line.strip().startswith("weak ") and "▲" in line]
    assert line.count("[") == 2


def test_the_page_holds_every_study_and_escapes_its_texts(one: Path, same_tests: Path, tmp_path: Path) -> None:
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
        folders.append(folder)
    return folders


def test_one_study_with_several_seeds_is_told_over_all_of_them(seeds: list[Path]) -> None:
    found = compare_runs(seeds)
    (weak,) = (each for each in found.seed_aggregates if (each.arm, each.metric) == ("weak", "gold_reward"))
    alone = [stats.mean(list(load_arm_values(Run(folder))["weak"].values["gold_reward"].values())) for folder in seeds]
    means = [each.value or 0.0 for each in alone]
    assert weak.mean.value == pytest.approx(sum(means) / 3)
    # the seeds' means are apart by 0, 0.1 and 0.3: a standard deviation of √((0.1333² + 0.0333² + 0.1667²) / 2)
    assert weak.std.value == pytest.approx(0.152753, abs=1e-5)
    human = next(each for each in found.seed_aggregates if (each.arm, each.metric) == ("human", "gold_reward"))
    assert weak.differences["human"].value == pytest.approx((weak.mean.value or 0) - (human.mean.value or 0))
    assert human.std.value == pytest.approx(0.0, abs=1e-12)
    text = terminal(render_run_comparison_tables(found))
    assert "over 3 seeds" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "<h2>Over 3 seeds</h2>" in render_run_comparison_page(found)


def test_studies_that_differ_in_more_than_their_seeds_are_not_pooled(
    one: Path, same_tests: Path, seeds: list[Path]
) -> None:
    assert compare_runs([one, same_tests]).seed_aggregates == ()
    other = Path(shutil.copytree(seeds[1], one.parent / "other-settings"))
    study = Run(other).study.model_copy(update={"seed": 103, "max_tokens": 300})
    (other / "study.yaml").write_text(study.to_yaml())
    assert compare_runs([one, other]).seed_aggregates == ()


def test_seeds_that_drew_a_split_of_their_own_are_told_by_their_means(one: Path, other_tests: Path) -> None:
    folder = Path(shutil.copytree(other_tests, one.parent / "own-split"))
    (folder / "study.yaml").write_text(Run(one).study.model_copy(update={"seed": 104}).to_yaml())
    found = compare_runs([one, folder])
    (weak,) = (each for each in found.seed_aggregates if (each.arm, each.metric) == ("weak", "gold_reward"))
    rows = [load_arm_values(Run(each))["weak"].values["gold_reward"] for each in (one, folder)]
    alone = stats.summarize_seeds([sum(each.values()) / len(each) for each in rows])
    assert (weak.mean, weak.std) == (alone.mean, alone.std)
    assert weak.mean.n == 2
    assert "each of which drew a split of its own" in found.seed_note
    assert "each of which drew a split of its own" in render_run_comparison_page(found)
    assert "a split of its own" in " ".join(terminal(render_run_comparison_tables(found)).split())


def test_seeds_on_the_same_test_pairs_say_what_their_intervals_speak_of(seeds: list[Path]) -> None:
    assert "other seeds and other test pairs at once" in compare_runs(seeds).seed_note


def test_labels_and_their_price_stand_side_by_side(one: Path, same_tests: Path) -> None:
    found = compare_runs([one, same_tests])
    of = {(each.arm, each.metric): each for each in found.metric_rows}
    # 200 tokens and 0.01 s for each of the labels of `weak`
    assert {name: each.value for name, each in of["weak", "label_tokens"].metrics_by_run.items()} == {
        "one": 200,
        "same": 200,
    }
    assert of["weak", "label_seconds"].metrics_by_run["one"].low is None
    (label,) = (each for each in found.runs[0].report.labels if each.arm == "weak")
    assert of["weak", "agreement"].metrics_by_run["one"] == label.metrics["agreement"]
    assert "Tokens a pair" in render_run_comparison_page(found)


def judged(one: Path, name: str, against: str) -> Path:
    """The study with a judge that prefers every answer of `weak`, twice."""
    folder = Path(shutil.copytree(one, one.parent / name))
    study = folder / "study.yaml"
    study.write_text(study.read_text() + "judges: {small: {kind: pairwise, engine: smollm2-135m-instruct}}\n")
    first, second = SingleVerdict(choice="first"), SingleVerdict(choice="second")
    verdicts = [Verdict(id=each.prompt_id, outcome="win", forward=first, reversed=second) for each in Run(one).test]

    def make(draft: Draft) -> dict[str, int]:
        draft.write_rows("verdicts", verdicts_to_rows(verdicts), VERDICT_SCHEMA)
        return {"contests": len(verdicts)}

    stage = made(Store(folder), "judge.weak.small", "judge", make)[1].folder.name
    index = json.loads((folder / "run.json").read_text())
    arms = [{**arm, "verdicts": {"small": stage} if arm["name"] == "weak" else {}} for arm in index["arms"]]
    told = {**index, "arms": arms, "against": against, "stages": [*index["stages"], stage]}
    (folder / "run.json").write_text(json.dumps(told))
    return folder


def test_what_one_judge_says_stands_side_by_side_and_another_judges_word_does_not(one: Path) -> None:
    here, there, other = (judged(one, name, row) for name, row in (("a", "sft"), ("b", "sft"), ("c", "base")))
    (weak,) = compare_runs([here, there]).rows_for_metric("win_rate.small")
    assert {name: (each.value, each.n) for name, each in weak.metrics_by_run.items()} == {
        "a": (1.0, 24),
        "b": (1.0, 24),
    }
    assert "Win rate (small)" in terminal(render_run_comparison_tables(compare_runs([here, there])))
    found = compare_runs([here, other])
    assert not any(parse_judge_name(metric) for metric in found.metric_names)
    assert any(note.startswith("Judge small is not the same in all studies, or compares with") for note in found.notes)


def test_a_figure_of_a_judge_bears_its_name() -> None:
    names = (
        "win_rate.small",
        "length_controlled_win_rate.small",
        "order_flips.small",
        "order_flips",
        "accuracy.helpful",
    )
    assert [parse_judge_name(name) for name in names] == ["small", "small", "small", "", ""]


TRAINED = "{kind: trained_reward, data: {kind: starter, limit: 60, seed: 5}, model: smollm2-135m-instruct}"


def test_a_reward_that_one_study_trained_is_not_set_beside_a_gold_one(one: Path) -> None:
    folder = Path(shutil.copytree(one, one.parent / "proxied"))
    study = folder / "study.yaml"
    study.write_text(study.read_text().replace("{gold: checker}", f"{{gold: {TRAINED}}}"))
    rows = [{"id": pair.id, "a": 1.0, "b": 0.5} for pair in Run(one).test]

    def make(draft: Draft) -> dict[str, int]:
        draft.write_rows("rewards", rows, REWARD_SCHEMA)
        return {"examples": 60}

    stage = made(Store(folder), "reward-test.gold", "score-pairs", make)[1].folder.name
    index = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**index, "rewards": {"gold": stage}}))
    found = compare_runs([one, folder])
    assert found.rows_for_metric("gold_reward") == found.rows_for_metric("proxy_reward") == []
    assert "proxy reward" in build_verdict(found.runs[1].report)[0]
    assert "gold reward" not in terminal(render_run_comparison_tables(found)).partition("proxied\n")[2].lower()


def test_a_reward_that_the_study_trains_is_a_proxy_before_it_has_read_the_test_pairs(one: Path) -> None:
    folder = Path(shutil.copytree(one, one.parent / "proxy-to-come"))
    study = folder / "study.yaml"
    study.write_text(study.read_text().replace("{gold: checker}", f"{{gold: {TRAINED}}}"))
    index = json.loads((folder / "run.json").read_text())
    coming = {"rewards": {"gold": "rewards.test.gold-0"}, "stages": [*index["stages"], "rewards.test.gold-0"]}
    (folder / "run.json").write_text(json.dumps({**index, **coming}))
    report = collect_report(folder)
    (info,) = report.rewards
    assert (info.is_proxy, info.metric, info.agreement.value) == (True, "gold_reward", None)
    assert format_proxy_note(info) in report.notes
    page = page_of(report)
    assert "a proxy: trained by the study</small>" in page
    assert "Proxy reward" in page
    assert "Gold reward</" not in page
    found = compare_runs([one, folder])
    assert found.rows_for_metric("gold_reward") == found.rows_for_metric("proxy_reward") == []
    assert "proxy reward" in build_verdict(found.runs[1].report)[0]


def test_a_judge_is_held_to_all_studies_that_have_it_and_not_to_the_first_alone(one: Path) -> None:
    here, other = judged(one, "second", "sft"), judged(one, "third", "base")
    found = compare_runs([one, here, other])
    assert not any(parse_judge_name(metric) for metric in found.metric_names)
    assert [note for note in found.notes if note.startswith("Judge small")] == [
        "Judge small is not the same in all studies, or compares with another row: its figures are left out."
    ]


def test_it_is_said_whose_answers_a_judge_compares_with(one: Path) -> None:
    found = compare_runs([judged(one, "once", "sft"), judged(one, "twice", "sft")])
    said = "Judge small compares answers with those of sft: at a win rate of 0.5 both are as good."
    assert found.notes.count(said) == 1
    assert said in render_run_comparison_page(found)
    assert said in run_comparison_to_json(found)["notes"]


def test_rewards_of_different_scorers_are_told_where_the_first_study_has_none(one: Path, tmp_path: Path) -> None:
    folders = [Path(shutil.copytree(one, tmp_path / name)) for name in ("bare", "left", "right")]
    for path in folders[0].glob("stages/score.*/record.json"):
        path.unlink()
    for path in folders[2].glob("stages/score.*/record.json"):
        record = json.loads(path.read_text())
        path.write_text(canonical_json({**record, "settings": {"scorer": "another"}}))
    notes = [note for note in compare_runs(folders).notes if "different scorers" in note]
    assert notes == [
        "Gold reward of right and of left is by different scorers: the figures stand side by side and have no difference."
    ]


def test_over_seeds_leads_are_told_over_the_rows_that_a_study_asks_for(seeds: list[Path], tmp_path: Path) -> None:
    folders = [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in seeds]
    for folder in folders:
        study = Run(folder).study
        arm = study.arms["weak_sure"].model_copy(update={"against": ("weak_model",)})
        arms = {**study.arms, "weak_sure": arm}
        (folder / "study.yaml").write_text(study.model_copy(update={"arms": arms}).to_yaml())
    found = compare_runs(folders)
    of = {each.arm: each for each in found.seed_aggregates if each.metric == "gold_reward"}
    assert list(of["weak_sure"].differences) == ["sft", "human", "weak", "flipped", "weak_model"]
    assert "weak_model" not in of["weak"].differences
    ours, theirs = (of[arm].mean.value or 0 for arm in ("weak_sure", "weak_model"))
    assert of["weak_sure"].differences["weak_model"].value == pytest.approx(ours - theirs)
    assert '<th scope="col">minus weak_model</th>' in render_run_comparison_page(found)
    text = terminal(render_run_comparison_tables(found))
    assert "weak_sure minus weak_model: +" in text
    assert max(map(len, text.splitlines())) <= 80
    (told,) = (
        each
        for each in run_comparison_to_json(found)["seeds"]
        if (each["arm"], each["metric"]) == ("weak_sure", "gold_reward")
    )
    assert told["leads"]["weak_model"]["value"] == of["weak_sure"].differences["weak_model"].value


def test_every_figure_goes_to_a_file_for_programs(seeds: list[Path], tmp_path: Path) -> None:
    found = compare_runs(seeds)
    document = json.loads(json.dumps(run_comparison_to_json(found), allow_nan=False))
    assert [each["seed"] for each in document["studies"]] == [Run(each).study.seed for each in seeds]
    (weak,) = (each for each in document["figures"] if (each["arm"], each["metric"]) == ("weak", "gold_reward"))
    assert set(weak["studies"]) == {"one", "seed-101", "seed-102"}
    assert weak["differences"]["seed-101"]["value"] == pytest.approx(0.1)
    assert {each["metric"] for each in document["seeds"]} >= {"gold_reward", "accuracy"}
    assert found.seed_note in document["notes"]
    file = tmp_path / "made" / "compared.json"
    done = CliRunner().invoke(app, ["compare", *map(str, seeds), "--json", str(file)])
    assert (done.exit_code, json.loads(file.read_text())) == (0, document)
    assert str(file) in done.output.replace("\n", "")
