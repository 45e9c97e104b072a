"""Judges in a study: the planned comparisons, the verdicts of a stage, and rejected settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trimtab.config.study import Study
from trimtab.core.annotator_inputs import Requirements
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
SIZE = 150  # comparisons: two full batches and a partial one


def plan_study(*overrides: str, human_on_unlabeled: bool = True) -> Plan:
    return build_plan(Study.parse(YAML, overrides), human_on_unlabeled=human_on_unlabeled)


def rows_with_verdicts(plan: Plan) -> list[str]:
    return [row.name for row in plan.rows if row.verdicts]


def build_completions(texts: Mapping[str, str]) -> list[Completion]:
    prompts = {question: build_user_prompt(question) for question in texts}
    return [
        Completion(
            prompt_id=prompt_hash(prompts[question]),
            prompt=prompts[question],
            text=text,
            n_tokens=1,
            finish_reason="end",
        )
        for question, text in texts.items()
    ]


@contextmanager
def silent_progress(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    del label, total, unit
    yield lambda done=1: None


RUNTIME = Runtime(progress=silent_progress, notify=lambda text: None)


class Interrupted(Component):
    """An engine that prefers the response `good`, logs its calls in a file and is killed in call number `interrupt_at`."""

    calls: str
    interrupt_at: int = 0
    fails: bool = False

    def start(self, runtime: Runtime) -> Engine:
        del runtime
        settings = self

        class LoggingEngine(ScriptedEngine):
            def score_choices(
                self, requests: Sequence[EngineRequest], candidates: Any, **options: Any
            ) -> list[ChoiceScores]:
                with Path(settings.calls).open("a") as out:
                    out.write(f"{len(requests)}\n")
                if len(read_calls(Path(settings.calls))) == settings.interrupt_at:
                    raise KeyboardInterrupt
                if settings.fails:
                    return [ChoiceScores(probabilities=(), status="failed", note="out of service") for _ in requests]
                return super().score_choices(requests, candidates, **options)

            def generate(self, requests: Sequence[EngineRequest], **_: Any) -> list[Generation]:
                raise AssertionError("mode logits generates no text")

        return LoggingEngine(
            choice_weights=lambda request, _: [2, 1] if "<response_1>\ngood" in request.prompt[0].content else [1, 2]
        )

    def content_hash(self) -> str:
        return "the same model"


def read_calls(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().splitlines()] if path.is_file() else []


def run_judge_stage(folder: Path, num_prompts: int | None = None, **settings: Any) -> Artifact:
    """The verdicts of a stage on `SIZE` comparisons, of which the candidate wins two in three, or on some of them."""
    questions = [f"Question {index}?" for index in range(SIZE)]
    completions = {
        "candidate": build_completions(
            {question: "good" if index % 3 else "poor" for index, question in enumerate(questions)}
        ),
        "baseline": build_completions(
            {question: "poor" if index % 3 else "good" for index, question in enumerate(questions)}
        ),
    }
    store = Store(folder)
    generated = {name: create_generate_stage(store, name, texts) for name, texts in completions.items()}
    engine = {"kind": f"{__name__}:Interrupted", "calls": str(folder / "calls"), **settings}
    judge = build_component("judges", {"kind": "pairwise", "engine": engine})
    resources = EngineResources(configs=list_engine_configs(judge))
    candidate, baseline = (stage for stage, _ in generated.values())
    stage = judge_stage("judge.x.rule", judge, resources, candidate, baseline, num_prompts, split=candidate)
    inputs = {name: artifact for name, (_, artifact) in generated.items()}
    return store.get_or_create(stage.name, stage.recipe, lambda draft: stage.execute(draft, inputs, RUNTIME))


def create_generate_stage(store: Store, name: str, completions: Sequence[Completion]) -> tuple[Stage, Artifact]:
    """A finished stage with these completions."""

    def execute(draft: Any, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
        draft.write_rows(
            "completions", [completion_to_row(completion) for completion in completions], COMPLETION_SCHEMA
        )
        return {}

    stage = Stage(name=name, kind="generate", execute=execute, settings={"name": name})
    return stage, store.get_or_create(name, stage.recipe, lambda draft: execute(draft, {}, RUNTIME))


def test_every_row_with_responses_is_compared_with_sft() -> None:
    plan = plan_study()
    assert plan.baseline == "sft"
    assert rows_with_verdicts(plan) == ["base", "human", "weak", "flipped", "weak_model"]
    assert {stage.name for stage in plan.stages if stage.kind == "judge"} >= {
        "judge.weak.rule",
        "judge.weak.ours",
        "judge-human-pairs.rule",
        "judge-human-pairs.ours",
    }


def test_without_sft_the_baseline_is_the_base_model() -> None:
    plan = plan_study("training.sft=null")
    assert (plan.baseline, "base" in rows_with_verdicts(plan)) == ("base", False)


def test_a_study_can_set_the_baseline() -> None:
    plan = plan_study("judging.baseline=human")
    compared = rows_with_verdicts(plan)
    assert (plan.baseline, "sft" in compared, "human" in compared) == ("human", True, False)
    with pytest.raises(
        StudyError, match=r"judging\.baseline: no row 'humans' has responses \(rows with responses: base, sft"
    ):
        plan_study("judging.baseline=humans")
    with pytest.raises(StudyError, match="no row 'human' has responses: no human labels on the unlabeled pairs"):
        plan_study("judging.baseline=human", human_on_unlabeled=False)


def test_judges_are_evaluated_against_human_labels_unless_that_is_turned_off() -> None:
    assert set(plan_study().human_verdicts) == {"rule", "ours"}
    assert plan_study("judging.human_agreement_pairs=0").human_verdicts == {}


def test_judges_compare_a_sample_of_the_answered_prompts() -> None:
    def limits(*overrides: str) -> dict[str, int | None]:
        stages = plan_study("num_test_prompts=6", *overrides).stages
        return {stage.name: stage.work.limit for stage in stages if stage.work and stage.name.startswith("judge.weak.")}

    assert limits() == {"judge.weak.rule": 6, "judge.weak.ours": 6}
    assert limits("judging.num_prompts=4") == {"judge.weak.rule": 4, "judge.weak.ours": 4}
    assert limits("judging.num_prompts=9") == {"judge.weak.rule": 6, "judge.weak.ours": 6}
    assert rows_with_verdicts(plan_study("judging.num_prompts=0")) == []


def test_unlabeled_pairs_are_judged_only_if_requested_and_need_human_labels() -> None:
    assert plan_study().unlabeled_verdicts == {}
    plan = plan_study("judging.match_mismatch_pairs=100")
    assert set(plan.unlabeled_verdicts) == {"rule", "ours"}
    labels = {stage.input_stages["labels"].name for stage in plan.unlabeled_verdicts.values()}
    assert labels == {"annotate.weak"}
    with pytest.raises(StudyError, match=r"judging\.match_mismatch_pairs: the unlabeled pairs have no human labels"):
        plan_study("judging.match_mismatch_pairs=100", human_on_unlabeled=False)


def test_a_study_without_judges_has_no_judge_stages() -> None:
    study = Study.parse(YAML).model_copy(update={"judges": {}})
    plan = build_plan(study)
    assert (plan.baseline, [stage for stage in plan.stages if stage.kind == "judge"]) == ("", [])


def test_judges_may_be_models_of_the_study_and_others_are_downloaded() -> None:
    study = Study.parse(YAML, ["judges.other={kind: pairwise, engine: gemma3-270m}"])
    assert "gemma3-270m" in [model.base for model in required_models(study)]
    with pytest.raises(StudyError, match=r"judges\.ours\.judge: no model '@teacher' is trained"):
        plan_study("judges.ours={kind: pairwise, engine: '@teacher'}")


def test_changing_a_judge_changes_only_its_own_stages() -> None:
    before, after = plan_study(), plan_study("judges.rule.criterion=the shorter one")
    fingerprints = {stage.recipe.fingerprint for stage in before.stages}
    unchanged = {stage.name for stage in after.stages if stage.recipe.fingerprint in fingerprints}
    assert {stage.name for stage in after.stages} - unchanged == {
        *(f"judge.{row}.rule" for row in ("base", "human", "weak", "flipped", "weak_model")),
        "judge-human-pairs.rule",
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("judges.rule={kind: synthetic_checker}", r"judges\.rule\.kind: unknown kind 'synthetic_checker' in judges"),
        ("judges={'a b': {kind: pairwise, engine: {kind: scripted}}}", "'a b': a name consists of letters"),
        ("training.objective=preference_model", r"judges: training\.objective is preference_model"),
        ("judging.human_agreement_pairs=-1", r"judging\.human_agreement_pairs"),
        ("judges.rule.engin=x", r"judges\.rule\.engin: unknown setting; did you mean 'engine'"),
    ],
)
def test_wrong_settings_are_rejected_with_their_location(override: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        plan_study(override)


def test_judging_settings_without_judges_are_rejected() -> None:
    with pytest.raises(StudyError, match="judging: the study has no judges"):
        plan_study("judges={}", "judging.human_agreement_pairs=9")


def test_responses_are_matched_by_prompt() -> None:
    candidate = build_completions({"A?": "1", "B?": "2"})
    baseline = build_completions({"B?": "two", "A?": "one"})
    comparisons = match_completions("judge.x", candidate, baseline)
    assert [(comparison.candidate, comparison.baseline) for comparison in comparisons] == [("1", "one"), ("2", "two")]


def test_responses_to_different_prompts_are_rejected_with_the_ids() -> None:
    candidate, baseline = build_completions({"A?": "1", "B?": "2"}), build_completions({"A?": "one", "C?": "three"})
    unmatched = sorted(prompt_hash(build_user_prompt(question)) for question in ("B?", "C?"))
    with pytest.raises(
        DataError, match=rf"judge\.x: 2 prompts have a response from only one of the two \({', '.join(unmatched)}\)"
    ):
        match_completions("judge.x", candidate, baseline)


def test_a_stage_stores_one_verdict_per_prompt_and_counts_the_outcomes(tmp_path: Path) -> None:
    artifact = run_judge_stage(tmp_path)
    assert artifact.record["facts"]["outcomes"] == {"loss": 50, "win": 100}
    assert artifact.record["facts"]["comparisons"] == SIZE
    assert artifact.record["facts"]["tokens"] > 0
    assert [verdict.outcome for verdict in load_verdicts(artifact).values()] == ["loss", "win", "win"] * 50


def test_the_sampled_prompts_of_a_smaller_number_are_among_those_of_a_larger_number(tmp_path: Path) -> None:
    some, more = (set(load_verdicts(run_judge_stage(tmp_path / str(n), num_prompts=n))) for n in (20, 30))
    assert (len(some), len(more), some < more) == (20, 30, True)
    # the sample does not follow the order of the prompts
    first = {prompt_hash(build_user_prompt(f"Question {index}?")) for index in range(30)}
    assert more != first


def test_an_interrupted_stage_repeats_only_the_last_batch(tmp_path: Path) -> None:
    uninterrupted = run_judge_stage(tmp_path / "uninterrupted")
    assert read_calls(tmp_path / "uninterrupted" / "calls") == [128, 128, 44]
    settings = {"interrupt_at": 2}
    with pytest.raises(KeyboardInterrupt):
        run_judge_stage(tmp_path / "interrupted", **settings)
    resumed = run_judge_stage(tmp_path / "interrupted", **settings)
    assert read_calls(tmp_path / "interrupted" / "calls") == [128, 128, 128, 44]
    assert resumed.read_rows("verdicts") == uninterrupted.read_rows("verdicts")


def test_a_judge_whose_engine_always_fails_stops_the_stage_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"judge\.x\.rule: 150 of 150 verdicts failed \(more than 50%\), most often with “no verdict: out of service”; "
        r"the replies are in .*verdicts\.parquet",
    ):
        run_judge_stage(tmp_path, fails=True)
    # Failures are not cached, because the server may be up again later.
    assert not (tmp_path / "completions").exists()


def test_verdicts_round_trip_through_table_rows() -> None:
    forward = SingleVerdict(
        choice="first", probability_first=0.75, scores=(7.5, 3.0), text="Because.", votes=("first", None)
    )
    verdicts = [
        Verdict(
            id="x",
            outcome="failed",
            forward=forward,
            reversed=SingleVerdict(choice=None, text="eh?"),
            note="n",
            cost=Cost(calls=2),
        ),
        Verdict(id="y", outcome="tie"),
    ]
    rows = json.loads(json.dumps(verdicts_to_rows(verdicts)))
    assert [verdict_from_row(row) for row in rows] == verdicts


def test_a_judge_that_always_picks_the_first_response_gives_only_ties(judged_run: Path) -> None:
    run = Run(judged_run)
    created = {name.partition(".")[0] for name in run.index.created}
    assert created == {"judge", "judge-human-pairs", "judge-unlabeled-pairs"}
    assert run.index.baseline == "sft"
    verdict_stages = {row.name: row.verdicts for row in run.arms}
    assert verdict_stages["sft"] == {}
    for name in ("base", "human", "weak", "flipped", "weak_model"):
        verdicts = load_verdicts(run.artifact(verdict_stages[name]["says-first"])).values()
        assert {verdict.outcome for verdict in verdicts} == {"tie"}
        assert {verdict.is_order_inconsistent for verdict in verdicts} <= {True, None}
    human_verdicts = load_verdicts(run.artifact(run.index.human_verdicts["says-first"]))
    assert len(human_verdicts) == 4
    assert all(verdict.is_order_inconsistent for verdict in human_verdicts.values())


def test_a_custom_judge_must_return_one_verdict_per_comparison(tmp_path: Path) -> None:
    class Incomplete(Component):
        def requirements(self) -> Requirements:
            return Requirements()

        def judge(self, comparisons: Sequence[Comparison], engines: Mapping[str, Engine]) -> list[Verdict]:
            return [Verdict(id=comparison.id, outcome="win") for comparison in comparisons[1:]]

    store = Store(tmp_path)
    stage, artifact = create_generate_stage(store, "candidate", build_completions({"A?": "1", "B?": "2"}))
    incomplete = judge_stage("judge.x.incomplete", Incomplete(), EngineResources(), stage, stage, split=stage)
    inputs = {"candidate": artifact, "baseline": artifact}
    with pytest.raises(DataError, match=r"judge\.x\.incomplete: the judge must return one verdict per comparison"):
        store.get_or_create("incomplete", incomplete.recipe, lambda draft: incomplete.execute(draft, inputs, RUNTIME))
