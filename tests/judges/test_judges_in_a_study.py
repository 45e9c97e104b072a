"""Judges in a study: what is compared with what, what a stage makes of it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trimtab.config.study import Study
from trimtab.core.component import Component, build_component
from trimtab.core.engine_configs import list_engine_configs
from trimtab.core.interfaces import Engine
from trimtab.core.runtime import ProgressTick, Runtime
from trimtab.engines.scripted import ScriptedEngine
from trimtab.errors import DataError, StudyError
from trimtab.pipeline.engine_resources import EngineResources
from trimtab.pipeline.plan import Plan, build_plan, required_models
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.judge import judge_stage, match_completions
from trimtab.report.run_reader import Run
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.schemas import COMPLETION_SCHEMA, completion_to_row
from trimtab.storage.verdict_schema import load_verdicts, verdict_from_row, verdicts_to_rows
from trimtab.types import (
    ChoiceScores,
    Comparison,
    Completion,
    Cost,
    EngineRequest,
    Generation,
    SingleVerdict,
    Verdict,
    build_user_prompt,
    prompt_hash,
)

YAML = """
name: small
data: {kind: starter, limit: 40}
models: {weak: {base: smollm2-135m-instruct, layers: 4}, student: smollm2-135m-instruct}
judges:
  rule: {kind: pairwise, engine: {kind: scripted}}
  ours: {kind: pairwise, engine: "@student"}
"""
SIZE = 150  # contests: two whole batches and a part of one


def planned(*changes: str, human_on_unlabeled: bool = True) -> Plan:
    return build_plan(Study.parse(YAML, changes), human_on_unlabeled=human_on_unlabeled)


def judged_rows(plan: Plan) -> list[str]:
    return [arm.name for arm in plan.rows if arm.verdicts]


def answers(texts: Mapping[str, str]) -> list[Completion]:
    return [
        Completion(
            prompt_id=prompt_hash(build_user_prompt(asked)),
            prompt=build_user_prompt(asked),
            text=text,
            n_tokens=1,
            finish_reason="end",
        )
        for asked, text in texts.items()
    ]


@contextmanager
def quiet(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    del label, total, unit
    yield lambda done=1: None


RUNTIME = Runtime(progress=quiet, notify=lambda text: None)


class Counting(Component):
    """An engine that prefers the answer `good`, notes its calls in a file and breaks down in the call of this number."""

    calls: str
    breaks_at: int = 0
    fails: bool = False

    def start(self, runtime: Runtime) -> Engine:
        del runtime
        settings = self

        class Noted(ScriptedEngine):
            def score_choices(
                self, questions: Sequence[EngineRequest], candidates: Any, **how: Any
            ) -> list[ChoiceScores]:
                with Path(settings.calls).open("a") as out:
                    out.write(f"{len(questions)}\n")
                if len(called(Path(settings.calls))) == settings.breaks_at:
                    raise KeyboardInterrupt
                if settings.fails:
                    return [ChoiceScores(probabilities=(), status="failed", note="out of service") for _ in questions]
                return super().score_choices(questions, candidates, **how)

            def generate(self, questions: Sequence[EngineRequest], **_: Any) -> list[Generation]:
                raise AssertionError("nothing is written in mode logits")

        return Noted(
            choice_weights=lambda question, _: [2, 1] if "<response_1>\ngood" in question.prompt[0].content else [1, 2]
        )

    def content_hash(self) -> str:
        return "the same model"


def called(calls: Path) -> list[int]:
    return [int(line) for line in calls.read_text().splitlines()] if calls.is_file() else []


def judged(folder: Path, **settings: Any) -> Artifact:
    """The verdicts of a stage on `SIZE` contests, of which ours wins two in three."""
    asked = [f"Question {place}?" for place in range(SIZE)]
    sides = {
        "ours": answers({each: "good" if place % 3 else "poor" for place, each in enumerate(asked)}),
        "theirs": answers({each: "poor" if place % 3 else "good" for place, each in enumerate(asked)}),
    }
    store = Store(folder)
    generated = {name: _generated(store, name, texts) for name, texts in sides.items()}
    engine = {"kind": "test_judges:Counting", "calls": str(folder / "calls"), **settings}
    judge = build_component("judges", {"kind": "pairwise", "engine": engine})
    stage = judge_stage(
        "judge.x.rule", judge, EngineResources(configs=list_engine_configs(judge)), *(s for s, _ in generated.values())
    )
    inputs = {name: made for name, (_, made) in generated.items()}
    return store.get_or_create(stage.name, stage.recipe, lambda draft: stage.execute(draft, inputs, RUNTIME))


def _generated(store: Store, name: str, texts: Sequence[Completion]) -> tuple[Stage, Artifact]:
    def make(draft: Any, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
        draft.write_rows("completions", [completion_to_row(each) for each in texts], COMPLETION_SCHEMA)
        return {}

    stage = Stage(name=name, kind="generate", execute=make, settings={"name": name})
    return stage, store.get_or_create(name, stage.recipe, lambda draft: make(draft, {}, RUNTIME))


def test_every_row_with_answers_is_judged_against_sft() -> None:
    plan = planned()
    assert plan.baseline == "sft"
    assert judged_rows(plan) == ["base", "human", "weak", "flipped", "weak_model"]
    assert {stage.name for stage in plan.stages if stage.kind == "judge"} >= {
        "judge.weak.rule",
        "judge.weak.ours",
        "judge-people.rule",
        "judge-people.ours",
    }


def test_without_sft_rows_are_judged_against_the_base() -> None:
    plan = planned("training.sft=null")
    assert (plan.baseline, "base" in judged_rows(plan)) == ("base", False)


def test_a_study_names_the_row_to_judge_against() -> None:
    plan = planned("judging.against=human")
    assert (plan.baseline, "sft" in judged_rows(plan), "human" in judged_rows(plan)) == ("human", True, False)
    with pytest.raises(
        StudyError, match=r"judging\.against: no row 'humans' has answers \(those that have some: base, sft"
    ):
        planned("judging.against=humans")
    with pytest.raises(StudyError, match="no row 'human' has answers: no human labels on the unlabeled pairs"):
        planned("judging.against=human", human_on_unlabeled=False)


def test_judges_are_held_to_people_unless_that_is_turned_off() -> None:
    assert set(planned().human_verdicts) == {"rule", "ours"}
    assert planned("judging.pairs=0").human_verdicts == {}


def test_a_study_without_judges_has_no_stage_for_them() -> None:
    study = Study.parse(YAML).model_copy(update={"judges": {}})
    plan = build_plan(study)
    assert (plan.baseline, [stage for stage in plan.stages if stage.kind == "judge"]) == ("", [])


def test_judges_may_be_models_of_the_study_and_others_are_fetched() -> None:
    study = Study.parse(YAML, ["judges.other={kind: pairwise, engine: gemma3-270m}"])
    assert "gemma3-270m" in [model.base for model in required_models(study)]
    with pytest.raises(StudyError, match=r"judges\.ours\.judge: no model '@teacher' is trained"):
        planned("judges.ours={kind: pairwise, engine: '@teacher'}")


def test_a_judge_has_no_bearing_on_what_is_judged() -> None:
    before, after = planned(), planned("judges.rule.criterion=the shorter one")
    changed = {stage.name for stage in after.stages} - {
        stage.name
        for stage in after.stages
        if stage.recipe.fingerprint in {each.recipe.fingerprint for each in before.stages}
    }
    assert changed == {
        *(f"judge.{row}.rule" for row in ("base", "human", "weak", "flipped", "weak_model")),
        "judge-people.rule",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("judges.rule={kind: checker}", "judges: Checker is not a judge"),
        ("judges={'a b': {kind: pairwise, engine: {kind: scripted}}}", "'a b': a name is letters"),
        ("training.student=preference", r"judges: training\.student is preference"),
        ("judging.pairs=-1", r"judging\.pairs"),
        ("judges.rule.engin=x", r"judges\.rule\.engin: there is no such setting; did you mean 'engine'"),
    ],
)
def test_wrong_settings_are_refused_with_their_place(change: str, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        planned(change)


def test_settings_that_no_judge_would_read_are_refused() -> None:
    with pytest.raises(StudyError, match="judging: the study has no judges"):
        planned("judges={}", "judging.pairs=9")


def test_answers_are_joined_by_prompt() -> None:
    ours = answers({"A?": "1", "B?": "2"})
    theirs = answers({"B?": "two", "A?": "one"})
    assert [(each.candidate, each.baseline) for each in match_completions("judge.x", ours, theirs)] == [
        ("1", "one"),
        ("2", "two"),
    ]


def test_answers_to_different_prompts_are_refused_with_the_ids() -> None:
    ours, theirs = answers({"A?": "1", "B?": "2"}), answers({"A?": "one", "C?": "three"})
    alone = sorted(prompt_hash(build_user_prompt(asked)) for asked in ("B?", "C?"))
    with pytest.raises(
        DataError, match=rf"judge\.x: 2 of the prompts were answered by one side alone \({', '.join(alone)}\)"
    ):
        match_completions("judge.x", ours, theirs)


def test_a_stage_keeps_a_verdict_a_prompt_and_says_how_they_came_out(tmp_path: Path) -> None:
    made = judged(tmp_path)
    assert made.record["facts"]["outcomes"] == {"loss": 50, "win": 100}
    assert made.record["facts"]["contests"] == SIZE
    assert made.record["facts"]["tokens"] > 0
    assert [each.outcome for each in load_verdicts(made).values()] == ["loss", "win", "win"] * 50


def test_a_run_that_was_cut_short_asks_the_last_batch_again_and_no_other(tmp_path: Path) -> None:
    whole = judged(tmp_path / "whole")
    assert called(tmp_path / "whole" / "calls") == [128, 128, 44]
    settings = {"breaks_at": 2}
    with pytest.raises(KeyboardInterrupt):
        judged(tmp_path / "cut", **settings)
    again = judged(tmp_path / "cut", **settings)
    assert called(tmp_path / "cut" / "calls") == [128, 128, 128, 44]
    assert again.read_rows("verdicts") == whole.read_rows("verdicts")


def test_a_judge_whose_engine_fails_on_every_prompt_stops_the_stage_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"judge\.x\.rule: 150 of 150 verdicts failed \(more than 50%\), most often with “no verdict: out of service”; "
        r"what was said stands in .*verdicts\.parquet",
    ):
        judged(tmp_path, fails=True)
    # a server may be up again: nothing of what failed is kept
    assert not (tmp_path / "asked").exists()


def test_verdicts_survive_a_table() -> None:
    there = SingleVerdict(
        choice="first", probability_first=0.75, scores=(7.5, 3.0), text="Because.", votes=("first", None)
    )
    verdicts = [
        Verdict(
            id="x",
            outcome="failed",
            forward=there,
            reversed=SingleVerdict(choice=None, text="eh?"),
            note="n",
            cost=Cost(calls=2),
        ),
        Verdict(id="y", outcome="tie"),
    ]
    rows = json.loads(json.dumps(verdicts_to_rows(verdicts)))
    assert [verdict_from_row(row) for row in rows] == verdicts


def test_a_judge_that_always_says_the_first_leaves_ties_alone(judged_run: Path) -> None:
    run = Run(judged_run)
    assert {name.partition(".")[0] for name in run.index["made"]} == {"judge", "judge-people"}
    assert run.index["against"] == "sft"
    rows = {arm["name"]: arm["verdicts"] for arm in run.arms}
    assert rows["sft"] == {}
    for name in ("base", "human", "weak", "flipped", "weak_model"):
        verdicts = load_verdicts(run.artifact(rows[name]["says-first"])).values()
        assert {each.outcome for each in verdicts} == {"tie"}
        assert {each.is_order_inconsistent for each in verdicts} <= {True, None}
    people = load_verdicts(run.artifact(run.index["people"]["says-first"]))
    assert len(people) == 4 and all(each.is_order_inconsistent for each in people.values())


def test_a_judge_of_your_own_is_asked_for_a_verdict_a_contest(tmp_path: Path) -> None:
    class Lazy(Component):
        def judge(self, contests: Sequence[Comparison], engines: Mapping[str, Engine]) -> list[Verdict]:
            return [Verdict(id=each.id, outcome="win") for each in contests[1:]]

    store = Store(tmp_path)
    stage, made = _generated(store, "ours", answers({"A?": "1", "B?": "2"}))
    lazy = judge_stage("judge.x.lazy", Lazy(), EngineResources(), stage, stage)
    with pytest.raises(DataError, match=r"judge\.x\.lazy: the judge must give one verdict a contest"):
        store.get_or_create(
            "lazy", lazy.recipe, lambda draft: lazy.execute(draft, {"ours": made, "theirs": made}, RUNTIME)
        )
