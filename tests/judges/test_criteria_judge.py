"""The judge `criteria` asks about each criterion separately and learns from human labels which ones count."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from trimtab.config.study import Study
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component, build_component
from trimtab.core.engine_configs import list_engine_configs
from trimtab.core.interfaces import Engine, LearningJudge
from trimtab.core.runtime import ProgressTick, Runtime
from trimtab.engines.scripted import ScriptedEngine
from trimtab.errors import DataError
from trimtab.judges.criteria import Criteria, FittedCriteria
from trimtab.metrics.judge_quality import summarize_criteria
from trimtab.pipeline.engine_resources import EngineResources
from trimtab.pipeline.plan import build_plan
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.judge import judge_human_pairs_stage
from trimtab.report.pair_view.judge_votes import CriterionRow, PairVerdict, build_criterion_rows
from trimtab.report.pair_view.model import PairView
from trimtab.report.pair_view.terminal import render_pair
from trimtab.storage.artifacts import Draft, Store
from trimtab.storage.schemas import PAIR_SCHEMA, pairs_to_rows
from trimtab.storage.verdict_schema import load_verdicts
from trimtab.types import ChoiceScores, Comparison, EngineRequest, Pair, Verdict, build_user_prompt

POLITE, FIRST = "Which is more polite?", "Which comes first?"
SETTINGS: Mapping[str, Any] = {"kind": "criteria", "criteria": {"polite": [POLITE], "first": [FIRST, FIRST]}}


def build_pair(index: int) -> Pair:
    """Humans prefer the polite response."""
    return Pair.from_responses(build_user_prompt(f"{index}?"), f"please {index}", f"no {index}", "first")


LABELED, TEST, MANY = (
    [build_pair(index) for index in range(start, end)] for start, end in ((0, 30), (100, 110), (200, 270))
)
YAML = """
name: small
data: {kind: starter, limit: 40}
models: {weak: {base: smollm2-135m-instruct, layers: 4}, student: smollm2-135m-instruct}
judges:
  ours: {kind: criteria, engine: {kind: scripted}}
  rule: {kind: pairwise, engine: {kind: scripted}}
"""


def to_comparison(pair: Pair) -> Comparison:
    return Comparison(id=pair.id, prompt=pair.prompt, candidate=pair.a, baseline=pair.b)


COMPARISONS = [to_comparison(pair) for pair in TEST]


def answer(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
    """Knows which response is polite; the answer to the other question is always the first response."""
    del candidates
    text = request.prompt[-1].content
    if FIRST in text:
        return [0.8, 0.2]
    return [0.9, 0.1] if "please" in text.split("<response_1>")[1].split("</response_1>")[0] else [0.1, 0.9]


def build_judge(**settings: Any) -> Criteria:
    judge = build_component("judges", {**SETTINGS, "engine": {"kind": "scripted"}, **settings})
    assert isinstance(judge, Criteria)
    return judge


@contextmanager
def silent_progress(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    del label, total, unit
    yield lambda done=1: None


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(choice_weights=answer)


@pytest.fixture
def fitted(engine: ScriptedEngine) -> FittedCriteria:
    return build_judge().fit(LABELED, {"judge": engine})


def test_it_prefers_what_humans_prefer_and_swapped_responses_get_the_opposite_outcome(
    fitted: FittedCriteria, engine: ScriptedEngine
) -> None:
    assert isinstance(build_judge(), LearningJudge)
    verdicts = fitted.judge(COMPARISONS, {"judge": engine})
    assert [each.outcome for each in verdicts] == ["win" if "please" in pair.a else "loss" for pair in TEST]
    assert {each.outcome for each in verdicts} == {"win", "loss"}
    swapped = [replace(each, candidate=each.baseline, baseline=each.candidate) for each in COMPARISONS]
    opposite = {"win": "loss", "loss": "win"}
    for verdict, reverse in zip(verdicts, fitted.judge(swapped, {"judge": engine}), strict=True):
        assert reverse.outcome == opposite[verdict.outcome]
        assert (reverse.forward, reverse.reversed) == (verdict.reversed, verdict.forward)


def test_a_verdict_has_the_probability_and_the_weight_of_each_criterion(
    fitted: FittedCriteria, engine: ScriptedEngine
) -> None:
    comparison = Comparison(id="x", prompt=TEST[0].prompt, candidate="please do", baseline="no")
    (verdict,) = fitted.judge([comparison], {"judge": engine})
    forward, backward = verdict.forward, verdict.reversed
    assert forward is not None and backward is not None
    assert (forward.choice, backward.choice) == ("first", "second")
    assert [each.criteria["polite"] for each in (forward, backward)] == pytest.approx([0.9, 0.1])
    assert [each.criteria["first"] for each in (forward, backward)] == pytest.approx([0.8, 0.8])
    weight = forward.weights["polite"]
    assert weight > 1 and forward.weights["first"] == 0
    assert forward.probability_first == pytest.approx(1 / (1 + math.exp(-weight * math.log(9))))


def test_its_weights_and_its_choices_are_those_of_the_annotator(fitted: FittedCriteria, engine: ScriptedEngine) -> None:
    annotator: Any = build_component("annotators", SETTINGS)
    labels = annotator.annotate(TEST, AnnotatorInputs(engines={"weak": engine}, labeled_pairs=tuple(LABELED)))
    weights = {name: each["weight"] for name, each in labels[0].detail["criteria"].items()}
    assert weights == pytest.approx(fitted.weights.by_criterion, abs=1e-6)
    verdicts = fitted.judge(COMPARISONS, {"judge": engine})
    assert [label.choice for label in labels] == [{"win": "a", "loss": "b"}[each.outcome] for each in verdicts]


def test_identical_responses_are_a_tie_without_a_question(fitted: FittedCriteria) -> None:
    engine = ScriptedEngine(choice_weights=answer)
    same = Comparison(id="same", prompt=TEST[0].prompt, candidate="no", baseline="no")
    verdicts = fitted.judge([same, COMPARISONS[0], same], {"judge": engine})
    assert [(each.outcome, each.forward is None) for each in verdicts[::2]] == [("tie", True)] * 2
    assert "identical" in verdicts[0].note and verdicts[1].outcome != "tie"
    assert len(engine.requests) == 2 * 3  # both orders of three questions


def test_a_comparison_fails_if_a_question_has_no_answer(fitted: FittedCriteria) -> None:
    engine = ScriptedEngine(choice_weights=lambda request, _: [math.nan, math.nan])
    (verdict,) = fitted.judge(COMPARISONS[:1], {"judge": engine})
    assert verdict.outcome == "failed" and verdict.note
    unfitted = build_judge().fit(LABELED, {"judge": engine})
    (verdict,) = unfitted.judge(COMPARISONS[:1], {"judge": ScriptedEngine(choice_weights=answer)})
    assert verdict.outcome == "failed" and "0 of 30 labeled pairs" in verdict.note


def test_too_few_human_labels_are_an_error(engine: ScriptedEngine) -> None:
    with pytest.raises(DataError, match="criteria: 19 labeled pairs"):
        build_judge().fit(LABELED[:19], {"judge": engine})


def judge_test_pairs(fitted: FittedCriteria, engine: ScriptedEngine) -> dict[str, Verdict]:
    return {each.id: each for each in fitted.judge(COMPARISONS, {"judge": engine})}


def test_order_flips_and_human_agreement_are_measured_for_each_criterion(
    fitted: FittedCriteria, engine: ScriptedEngine
) -> None:
    verdicts = judge_test_pairs(fitted, engine)
    human = {pair.id: pair.human for pair in TEST if pair.human is not None}
    criteria = summarize_criteria(verdicts, verdicts, human, {key: key for key in verdicts})
    rates = {name: each.metrics["order_inconsistency"].value for name, each in criteria.items()}
    assert rates == {"polite": 0.0, "first": 1.0}
    assert {name: each.metrics["human_agreement"].value for name, each in criteria.items()} == {
        "polite": 1.0,
        "first": 0.5,  # the two orders of a position cancel exactly
    }
    failed = {"f": Verdict(id="f", outcome="failed")}
    with_failure = summarize_criteria(verdicts | failed, {}, human, {key: key for key in (*verdicts, "f")})
    assert with_failure["polite"].metrics["order_inconsistency"].n == len(TEST)


def test_the_criteria_of_a_pair_are_shown(fitted: FittedCriteria, engine: ScriptedEngine) -> None:
    pair = TEST[0]
    verdict = PairVerdict(judge="x", verdict=judge_test_pairs(fitted, engine)[pair.id])
    polite, first = build_criterion_rows([verdict])
    p_polite = "0.900" if "please" in pair.a else "0.100"
    assert (polite.criterion, polite.p_a_first, polite.p_b_first) == ("polite", p_polite, p_polite)
    assert first == CriterionRow(judge="x", criterion="first", weight="0.000", p_a_first="0.800", p_b_first="0.200")
    console = Console(width=120)
    with console.capture() as capture:
        console.print(render_pair(PairView(pair=pair, split="test", labels=(), verdicts=(verdict,)), show_text=False))
    assert "p_a, b first" in capture.get() and "polite" in capture.get()


class Logged(Component):
    """An engine that logs the number of requests in each call."""

    calls: str

    def start(self, runtime: Runtime) -> Engine:
        del runtime
        log = Path(self.calls)

        class LoggingEngine(ScriptedEngine):
            def score_choices(
                self, requests: Sequence[EngineRequest], candidates: Any, **options: Any
            ) -> list[ChoiceScores]:
                with log.open("a") as out:
                    out.write(f"{len(requests)}\n")
                return super().score_choices(requests, candidates, **options)

        return LoggingEngine(choice_weights=answer)

    def content_hash(self) -> str:
        return "the same rules"


def test_a_stage_fits_the_judge_once_on_the_labeled_pairs_of_its_split(tmp_path: Path) -> None:
    def write_split(draft: Draft, inputs: Any, runtime: Any) -> Mapping[str, Any]:
        del inputs, runtime
        for name, pairs in {"labeled": LABELED, "unlabeled": [], "test": MANY}.items():
            draft.write_rows(name, pairs_to_rows(pairs), PAIR_SCHEMA)
        return {}

    store, runtime = Store(tmp_path), Runtime(progress=silent_progress, notify=lambda text: None)
    split = Stage(name="split", kind="split", execute=write_split)
    judge = build_judge(engine={"kind": f"{__name__}:Logged", "calls": str(tmp_path / "calls")})
    resources = EngineResources(configs=list_engine_configs(judge))
    stage = judge_human_pairs_stage("judge-human-pairs.x", judge, resources, split, len(MANY))
    inputs: dict[str, Any] = {}

    def execute(stage: Stage, draft: Draft) -> Mapping[str, Any]:
        return stage.execute(draft, inputs, runtime)

    for name, each in (("split", split), ("verdicts", stage)):
        inputs[name] = store.get_or_create(each.name, each.recipe, partial(execute, each))
    assert inputs["verdicts"].record["facts"]["outcomes"].keys() == {"win", "loss"}
    verdicts = load_verdicts(inputs["verdicts"])
    assert all((verdicts[pair.id].outcome == "win") == (pair.human == "a") for pair in MANY)
    single = verdicts[MANY[0].id].forward
    assert single is not None and (single.criteria["first"], single.weights["first"]) == (0.8, 0.0)
    # two distinct questions in both orders about each of the labeled pairs, then about two chunks of 64 and 6 test pairs
    assert (tmp_path / "calls").read_text().split() == [str(4 * count) for count in (len(LABELED), 64, 6)]


def test_only_a_judge_that_learns_reads_the_labeled_pairs_of_the_study() -> None:
    plan = build_plan(Study.parse(YAML))
    inputs = {stage.name: set(stage.input_stages) for stage in plan.stages if stage.name.startswith("judge.weak.")}
    assert inputs == {
        "judge.weak.ours": {"candidate", "baseline", "split"},
        "judge.weak.rule": {"candidate", "baseline"},
    }
