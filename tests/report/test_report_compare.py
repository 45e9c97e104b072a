"""Studies side by side: figures in common, paired differences on common test rows, and what is refused."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from large_run import make_large
from rich.console import Console, Group

from trimtab import statistics
from trimtab.errors import DataError, StoreError, StudyError
from trimtab.report.beside import beside
from trimtab.report.beside_page import render
from trimtab.report.beside_tables import summary
from trimtab.report.collect import rows_by_arm
from trimtab.report.folder import Run
from trimtab.store import canonical


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
    found = beside([one, same_tests])
    (weak,) = (entry for entry in found.of("gold_reward") if entry.arm == "weak")
    difference = weak.differences["same"]
    assert difference.value == pytest.approx(1.0)
    assert (difference.n, difference.n_failed) == (24, 0)
    assert difference.low == pytest.approx(1.0)
    (human,) = (entry for entry in found.of("gold_reward") if entry.arm == "human")
    assert human.differences["same"].value == 0.0
    assert found.notes == ("same and one have the same 24 test pairs.",)


def test_figures_are_those_of_each_studys_own_report(one: Path, other_tests: Path) -> None:
    found = beside([one, other_tests])
    rows = rows_by_arm(Run(other_tests))["weak"].values["length"]
    (weak,) = (entry for entry in found.of("length") if entry.arm == "weak")
    assert weak.figures["other"].value == statistics.mean(list(rows.values())).value


def test_without_common_test_pairs_there_are_no_differences_and_it_is_said(one: Path, other_tests: Path) -> None:
    found = beside([one, other_tests])
    assert all(not entry.differences for entry in found.entries)
    assert found.notes[0].startswith("other and one have no test pair in common (16 and 24)")


def test_gold_rewards_of_different_scorers_have_no_difference(one: Path, same_tests: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(same_tests, tmp_path / "scored")
    for path in folder.glob("stages/score.*/record.json"):
        record = json.loads(path.read_text())
        path.write_text(canonical({**record, "settings": {"scorer": "another"}}))
    found = beside([one, folder])
    assert all(not entry.differences for entry in found.of("gold_reward"))
    assert all(entry.differences for entry in found.of("length"))
    assert any("different scorers" in note for note in found.notes)


def test_studies_with_nothing_in_common_are_refused_with_what_each_has(one: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(one, tmp_path / "renamed")
    index = json.loads((folder / "run.json").read_text())
    arms = [{**arm, "name": f"my_{arm['name']}"} for arm in index["arms"]]
    (folder / "run.json").write_text(json.dumps({**index, "arms": arms}))
    with pytest.raises(DataError, match=r"nothing in common: one has the arms base, .*; renamed has the arms my_base"):
        beside([one, folder])


def test_one_study_alone_and_a_folder_without_a_run_are_refused(one: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="at least two"):
        beside([one, one])
    with pytest.raises(StoreError, match="holds no finished run"):
        beside([one, tmp_path])


def test_a_study_that_is_not_finished_is_told(one: Path, same_tests: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(same_tests, tmp_path / "stopped")
    next(folder.glob("stages/score.weak-*/record.json")).unlink()
    found = beside([one, folder])
    assert any(note.startswith("stopped: This study is not finished") for note in found.notes)
    assert "weak" not in [entry.arm for entry in found.of("gold_reward")]


def test_folders_of_one_name_are_told_apart_by_their_paths(one: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(one, tmp_path / "elsewhere" / "one")
    assert [side.name for side in beside([one, folder]).sides] == [f"{one.parent.name}/one", "elsewhere/one"]


def test_the_tables_fit_a_terminal_and_mark_what_differs(one: Path, same_tests: Path, other_tests: Path) -> None:
    text = terminal(summary(beside([one, same_tests, other_tests])))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    (line,) = [line for line in text.splitlines() if line.strip().startswith("weak ") and "▲" in line]
    assert line.count("[") == 2


def test_the_page_holds_every_study_and_escapes_its_texts(one: Path, same_tests: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(same_tests, tmp_path / "<b>bold</b>")
    study = folder / "study.yaml"
    study.write_text(study.read_text() + "description: is <i>it</i> so?\n")
    text = render(beside([one, folder]))
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
    found = beside(seeds)
    (weak,) = (each for each in found.seeds if (each.arm, each.metric) == ("weak", "gold_reward"))
    alone = [statistics.mean(list(rows_by_arm(Run(folder))["weak"].values["gold_reward"].values())) for folder in seeds]
    means = [each.value or 0.0 for each in alone]
    assert weak.mean.value == pytest.approx(sum(means) / 3)
    # the seeds' means are apart by 0, 0.1 and 0.3: a standard deviation of √((0.1333² + 0.0333² + 0.1667²) / 2)
    assert weak.spread.value == pytest.approx(0.152753, abs=1e-5)
    human = next(each for each in found.seeds if (each.arm, each.metric) == ("human", "gold_reward"))
    assert weak.leads["human"].value == pytest.approx((weak.mean.value or 0) - (human.mean.value or 0))
    assert human.spread.value == pytest.approx(0.0, abs=1e-12)
    text = terminal(summary(found))
    assert "over 3 seeds" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "<h2>Over 3 seeds</h2>" in render(found)


def test_studies_that_differ_in_more_than_their_seeds_are_not_pooled(
    one: Path, same_tests: Path, seeds: list[Path]
) -> None:
    assert beside([one, same_tests]).seeds == ()
    other = Path(shutil.copytree(seeds[1], one.parent / "other-settings"))
    study = Run(other).study.model_copy(update={"seed": 103, "max_tokens": 300})
    (other / "study.yaml").write_text(study.to_yaml())
    assert beside([one, other]).seeds == ()
