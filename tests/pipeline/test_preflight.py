"""What is known from settings alone, or from one trial prompt, is found before any work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from trimtab.config.study import Study
from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import ENGINE_FIELD, Component, build_component
from trimtab.core.interfaces import Engine
from trimtab.core.runtime import Runtime
from trimtab.engines.scripted import ScriptedEngine
from trimtab.errors import DataError, EngineError, ModelError, StudyError
from trimtab.judges.pairwise import Pairwise
from trimtab.pipeline.completion_cache import COMPLETIONS_DIR
from trimtab.pipeline.lora_targets import preflight_lora_targets
from trimtab.pipeline.plan import build_plan
from trimtab.pipeline.preflight import preflight_engines
from trimtab.pipeline.trial_prompts import TRIALS_FILE, Trials
from trimtab.storage.artifacts import Store
from trimtab.training.trainer_values import validate_trainer_values
from trimtab.types import Annotation, EngineRequest, Pair
from trimtab.workflows.audit import run_audit
from trimtab.workflows.audit.request import AuditRequest

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


# trial prompts


class Counted(Component):
    """An engine that replies by rules and counts its requests and starts in this process."""

    name: str = "m"
    replies: Mapping[str, str] = {}
    error: str = ""

    def start(self, runtime: Runtime) -> Engine:
        del runtime
        STARTED.append(self.name)
        if self.error == "start":
            raise ModelError("no weights")
        return ScriptedEngine(reply=self._reply)

    def content_hash(self) -> str:
        return self.name

    def _reply(self, request: EngineRequest) -> str:
        text = request.prompt[-1].content
        ASKED.append(text)
        if self.error == "memory":
            raise MemoryError("out of memory")
        if self.error:
            raise EngineError(self.error)
        return next((reply for part, reply in self.replies.items() if part in text), "I cannot say.")


class Reader(Component):
    """An annotator that generates its verdict and reads it."""

    weak: Annotated[Component, ENGINE_FIELD] = Field(default_factory=Counted)

    def requirements(self) -> Requirements:
        return Requirements(engines={"weak": self.weak})

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        requests = [EngineRequest(prompt=pair.prompt) for pair in pairs]
        replies = [each.text for each in inputs.engines["weak"].generate(requests, max_new_tokens=8)]
        return [
            Annotation(pair_id=pair.id, p_a=1.0 if reply == "a" else 0.0)
            if reply in ("a", "b")
            else Annotation(pair_id=pair.id, p_a=None, status="failed", note="no verdict")
            for pair, reply in zip(pairs, replies, strict=True)
        ]


ASKED: list[str] = []
STARTED: list[str] = []
READABLE = {"France": "a", "Response 1": "Response 1"}


@pytest.fixture
def trials(tmp_path: Path, runtime: Runtime) -> Trials:
    ASKED.clear()
    STARTED.clear()
    return Trials(tmp_path, runtime)


def build_judge(**settings: Any) -> Pairwise:
    return Pairwise(engine=Counted(**settings), mode="text", presentation_order="random")


def test_an_annotator_whose_replies_cannot_be_read_stops_the_command_and_the_error_shows_a_reply(
    trials: Trials,
) -> None:
    message = (
        r"^arms\.x\.annotator: it failed on both of two easy trial pairs: no verdict \(a reply: “I cannot say\.”\)\. "
        r"Change its settings or its model$"
    )
    for _ in range(2):  # a failed trial is not recorded
        with pytest.raises(DataError, match=message):
            trials.try_component("arms.x.annotator", Reader())
    assert len(ASKED) == 4


def test_one_failed_pair_is_not_enough_to_stop(trials: Trials) -> None:
    trials.try_component("arms.x.annotator", Reader(weak=Counted(replies={"week": "b"})))
    assert len(ASKED) == 2


def test_a_judge_whose_replies_cannot_be_read_is_a_notice(trials: Trials, notices: list[str]) -> None:
    trials.try_component("judges.j", build_judge())
    assert notices == [
        "judges.j: it failed on both of two easy trial pairs: no verdict could be parsed (a reply: “I cannot say.”). "
        "Change its settings or its model; the study continues, but verdicts of this judge are likely to fail"
    ]
    trials.try_component("judges.k", build_judge(replies=READABLE))
    assert len(notices) == 1


@pytest.mark.parametrize(
    ("error", "judge_reason", "annotator_error"),
    [
        ("404: no model 'm'", "a trial prompt failed: 404: no model 'm'", EngineError),
        ("start", "no weights", ModelError),
        ("memory", "MemoryError: out of memory", MemoryError),
    ],
)
def test_an_engine_that_cannot_be_used_stops_annotators_but_no_judge(
    trials: Trials, notices: list[str], error: str, judge_reason: str, annotator_error: type[Exception]
) -> None:
    trials.try_component("judges.j", build_judge(error=error))
    (notice,) = notices
    assert notice.startswith(f"judges.j: {judge_reason}; the study continues")
    with pytest.raises(annotator_error, match=r"no model|no weights|out of memory"):
        trials.try_component("arms.x.annotator", Reader(weak=Counted(error=error)))


def test_a_component_that_passed_is_not_asked_again_and_needs_no_engine(trials: Trials, runtime: Runtime) -> None:
    trials.try_component("arms.x.annotator", Reader(weak=Counted(replies=READABLE)))
    trials.try_component("arms.y.annotator", Reader(weak=Counted(replies=READABLE)))
    Trials(trials.folder, runtime).try_component("arms.x.annotator", Reader(weak=Counted(replies=READABLE)))
    assert (len(ASKED), STARTED) == (1, ["m"])
    # another model is asked
    trials.try_component("arms.x.annotator", Reader(weak=Counted(replies=READABLE, name="n")))
    assert (len(ASKED), STARTED) == (2, ["m", "n"])
    values = [json.loads(line)["value"] for line in (trials.folder / TRIALS_FILE).read_text().splitlines()]
    assert [(value["setting"], value["cost"]["calls"]) for value in values] == [("arms.x.annotator", 1)] * 2


def test_components_with_the_same_engine_share_it(trials: Trials) -> None:
    trials.try_component("arms.x.annotator", Reader(weak=Counted(replies=READABLE)))
    trials.try_component("judges.j", build_judge(replies=READABLE))
    assert STARTED == ["m"]
    trials.close()
    assert trials.open_engines == []


def test_a_model_that_the_study_trains_is_not_asked_but_its_partner_is(trials: Trials, notices: list[str]) -> None:
    def build(**settings: Any) -> Component:
        return build_component("annotators", {"kind": "consultancy", "weak": "@weak", "strong": Counted(**settings)})

    trials.try_component("arms.x.annotator", build())
    assert (ASKED, notices) == (["What is the capital of France?"], [])
    trials.try_component("arms.own.annotator", build_component("annotators", {"kind": "prompted", "weak": "@weak"}))
    assert len(ASKED) == 1
    with pytest.raises(EngineError, match=r"^arms\.x\.annotator: a trial prompt failed: no server"):
        trials.try_component("arms.x.annotator", build(error="no server"))


def test_a_local_model_is_asked(trials: Trials, tiny_model: Path) -> None:
    annotator = build_component("annotators", {"kind": "prompted", "weak": str(tiny_model)})
    trials.try_component("arms.x.annotator", annotator)
    (line,) = (trials.folder / TRIALS_FILE).read_text().splitlines()
    cost = json.loads(line)["value"]["cost"]
    assert cost["calls"] == 2  # both orders
    assert cost["prompt_tokens"] > 0


STUDY = f"""
name: trial
data: {{kind: starter, limit: 40}}
models: {{weak: {{base: smollm2-135m-instruct, layers: 4}}, student: smollm2-135m-instruct}}
arms: {{x: {{annotator: {{kind: "{__name__}:Reader", weak: {{kind: "{__name__}:Counted"}}}}}}}}
judges: {{rule: {{kind: pairwise, mode: text, engine: {{kind: "{__name__}:Counted", name: j}}}}}}
"""


def test_a_study_asks_every_component_that_an_unfinished_stage_needs(
    trials: Trials, tmp_path: Path, runtime: Runtime, notices: list[str]
) -> None:
    del trials
    readable = "arms.x.annotator.weak.replies={France: a}"
    study, store = Study.parse(STUDY, [readable]), Store(tmp_path / "run")
    plan = build_plan(study)
    with pytest.raises(DataError, match=r"^arms\.x\.annotator: it failed on both"):
        preflight_engines(Study.parse(STUDY), build_plan(Study.parse(STUDY)), store, runtime)
    ASKED.clear()
    preflight_engines(study, plan, store, runtime)
    assert [notice.split(":")[0] for notice in notices] == ["judges.rule"]
    assert (store.root / COMPLETIONS_DIR / TRIALS_FILE).is_file()
    ASKED.clear()
    for stage in plan.stages:
        if stage.kind in ("annotate", "judge"):
            store.get_or_create(stage.name, stage.recipe, lambda draft: {})
    preflight_engines(study, plan, store, runtime)
    assert (ASKED, len(notices)) == ([], 1)


def test_an_audit_asks_its_annotator_before_it_computes_labels(
    trials: Trials, tmp_path: Path, runtime: Runtime
) -> None:
    del trials
    rows = [
        {"prompt": f"What of {n}?", "response_a": f"one {n}", "response_b": f"two {n}", "label": "a"} for n in range(24)
    ]
    path = tmp_path / "labeled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    request = AuditRequest(labeled=path, kind="reader", annotator=Reader())
    with pytest.raises(DataError, match=r"^annotator reader: it failed on both of two easy trial pairs: no verdict"):
        run_audit(request, tmp_path / "audit", runtime, lambda *_: None)
    assert len(ASKED) == 2
