"""What is known from settings alone, or from one trial prompt, is found before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from trimtab.config.study import Study
from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.core.interfaces import Engine
from trimtab.core.runtime import Runtime
from trimtab.engines.openai import Openai
from trimtab.errors import DataError, ModelError, StudyError
from trimtab.pipeline.lora_targets import preflight_lora_targets
from trimtab.pipeline.plan import build_plan
from trimtab.pipeline.trial_prompts import try_component
from trimtab.training.trainer_values import validate_trainer_values
from trimtab.types import Annotation, Comparison, Pair, SingleVerdict, Verdict

ARM = "name: x\nmodels: {{weak: smollm2-135m-instruct, student: smollm2-135m-instruct}}\ndata: starter\narms: {{x: {arm}}}"


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        (
            "{annotator: length, filter: information}",
            "information needs scores of search trees, which labels by length",
        ),
        ("{annotator: implicit_reward, filter: consistency}", "consistency needs verdicts in both presentation orders"),
        ("{annotator: human, filter: {kind: margin, by: margin}}", "margin needs margins, which labels by human"),
        ("{annotator: human, filter: uncertainty}", "uncertainty needs probabilities other than 0 and 1"),
        (
            "{annotator: {kind: prompted, presentation_order: random}, filter: consistency}",
            "consistency needs verdicts",
        ),
        ("{annotator: {kind: seam, tree: false}, filter: information}", "information needs scores of search trees"),
    ],
)
def test_a_filter_that_its_annotator_cannot_serve_is_refused_in_the_plan(arm: str, message: str) -> None:
    with pytest.raises(StudyError, match=r"^arms\.x\.filter: ") as caught:
        build_plan(Study.parse(ARM.format(arm=arm)))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        ("training.dpo={lora_target_modules: [q_proj, query]}", "dpo.weak-model"),
        ("training.sft={lora_r: 4, lora_target_modules: [query]}", "sft.weak-model"),
        ("arms.x.dpo={lora_target_modules: [query, q_proj]}", "dpo.x"),
        ("arms.x.annotator={kind: reward_model, training: {lora_target_modules: [query]}}", "reward-model.x"),
    ],
)
def test_layers_that_a_trained_model_does_not_have_are_named_before_any_work(
    tiny_study: str, change: str, stage: str
) -> None:
    study = Study.parse(tiny_study, ["arms.x.annotator=length", change])
    message = (
        rf"^{stage}: lora_target_modules: .*tiny has no linear layer 'query' \(there are: down_proj, gate_proj, k_proj, "
        r"o_proj, q_proj, up_proj, v_proj\)$"
    )
    with pytest.raises(ModelError, match=message):
        preflight_lora_targets(study, build_plan(study))


def test_layers_that_exist_are_accepted(tiny_study: str) -> None:
    study = Study.parse(tiny_study, ["training.dpo={lora_target_modules: [q_proj, v_proj], lora_dropout: 0.05}"])
    preflight_lora_targets(study, build_plan(study))


@pytest.mark.parametrize(
    "arm",
    [
        "{annotator: length, filter: {kind: margin, by: margin}}",
        "{annotator: prompted, filter: consistency}",
        "{annotator: seam, filter: information}",
        "{annotator: random, filter: {kind: subset, fraction: 0.5}}",
    ],
)
def test_a_suitable_filter_is_planned(arm: str) -> None:
    assert build_plan(Study.parse(ARM.format(arm=arm))).stages


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"report_to": "wandb"}, "report_to=wandb: wandb is not installed or not known"),
        ({"report_to": ["no_such_tracker"]}, "report_to=no_such_tracker"),
        ({"save_strategy": "sometimes"}, "--trainer save_strategy=sometimes: ValueError"),
        ({"learning_rate": 1}, "--trainer learning_rate: it is set by the study"),
        ({"no_such": 1}, "--trainer no_such: not an argument"),
    ],
)
def test_a_trainer_argument_is_checked_before_training(arguments: Mapping[str, Any], message: str) -> None:
    with pytest.raises(StudyError) as caught:
        validate_trainer_values(arguments)
    assert message in str(caught.value)


class UnreadableJudge(Component):
    """A judge of the server `m` whose first `unreadable` verdicts cannot be parsed."""

    unreadable: int = 2

    def requirements(self) -> Requirements:
        return Requirements(engines={"judge": Openai(base_url="http://127.0.0.1:1/v1", model="m")})

    def judge(self, comparisons: Sequence[Comparison], engines: Mapping[str, Engine]) -> list[Verdict]:
        failed = SingleVerdict(choice=None, text="I cannot say.")
        is_first = "capital" in comparisons[0].prompt[-1].content
        outcome: Any = "failed" if self.unreadable == 2 or is_first else "win"
        return [Verdict(id=each.id, outcome=outcome, forward=failed, note="no verdict") for each in comparisons]


class FailingAnnotator(Component):
    def requirements(self) -> Requirements:
        return Requirements(engines={"weak": Openai(base_url="http://127.0.0.1:1/v1", model="m")})

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        return [Annotation(pair_id=pair.id, p_a=None, status="failed", note="status 500") for pair in pairs]


@pytest.fixture
def unconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Openai, "start", lambda self, runtime: None)


@pytest.mark.usefixtures("unconnected")
def test_a_component_that_fails_on_every_trial_pair_stops_the_study(runtime: Runtime) -> None:
    with pytest.raises(DataError, match=r"^judges\.j: it failed on both .* no verdict \(a reply: “I cannot say\.”\)"):
        try_component("judges.j", UnreadableJudge(), runtime)
    with pytest.raises(DataError, match=r"^arms\.x\.annotator: it failed on both of two easy trial pairs: status 500"):
        try_component("arms.x.annotator", FailingAnnotator(), runtime)


@pytest.mark.usefixtures("unconnected")
def test_one_failed_trial_is_not_enough_to_stop(runtime: Runtime) -> None:
    try_component("judges.j", UnreadableJudge(unreadable=1), runtime)
