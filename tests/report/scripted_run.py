"""A run folder with real annotators, filters and stages on scripted engines. Nothing is trained."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from trimtab.annotators.consultancy import Consultancy
from trimtab.annotators.debate import Debate
from trimtab.annotators.seam import Seam
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.interfaces import Annotator
from trimtab.core.runtime import Runtime
from trimtab.engines.scripted import ScriptedEngine
from trimtab.filters.information import Information
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.filter import filter_stage
from trimtab.prompts.principles import load_principles
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.schemas import ANNOTATION_SCHEMA, PAIR_SCHEMA, annotations_to_rows, pairs_to_rows
from trimtab.types import Annotation, EngineRequest, Pair, build_human_annotation, build_user_prompt

PRINCIPLE_NAMES = [principle.name for principle in load_principles()]
HOSTILE = "Is [bold red]tea[/bold red] <script>alert('x')</script> \x1b[2J good?"
# The search on this pair backtracks, because the strong model's confidence does not follow the order of the principles.
BACKTRACKED_PAIR = Pair.from_responses(
    build_user_prompt(HOSTILE), "a good [/x] answer", "a poor <i>answer</i>", "first"
)
PLAIN_PAIRS = [
    Pair.from_responses(build_user_prompt(f"A calm question {index}?"), "a good answer", "a poor answer", "first")
    for index in range(3)
]
# The strong model generates no text for this pair.
SILENT_PAIR = Pair.from_responses(build_user_prompt("A mute question?"), "a good answer", "a poor answer", "second")
UNLABELED = [BACKTRACKED_PAIR, *PLAIN_PAIRS, SILENT_PAIR]
LABELED = [Pair.from_responses(build_user_prompt("A labeled question?"), "yes", "no", "first")]
TEST = [Pair.from_responses(build_user_prompt("A calm test question?"), "a good answer", "a poor answer", "first")]
CONFIDENCES = {"Informative": 0.6, "Engaging": 0.55, "Logical": 0.7, "Candor": 0.8}
THOUGHT = "Response 1 is [red]good[/red], <b>Response 2</b> is poor."
STUDY = """
name: scripted
data: {{kind: file, path: pairs.jsonl}}
models: {{weak: smollm2-135m-instruct, student: gemma3-270m}}
num_report_samples: {samples}
"""


def create_runtime() -> Runtime:
    return Runtime(progress=lambda label, total, unit: nullcontext(lambda done=1: None), notify=lambda message: None)


def create_seam() -> Seam:
    return Seam.model_validate({"weak": {"kind": "scripted"}, "strong": {"kind": "scripted"}})


def create_annotators() -> dict[str, Annotator]:
    engines = {"weak": {"kind": "scripted"}, "strong": {"kind": "scripted"}}
    return {
        "seam": create_seam(),
        "debate": Debate.model_validate({**engines, "rounds": 1}),
        "consultancy": Consultancy.model_validate(engines),
    }


def create_strong_engine() -> ScriptedEngine:
    """Ranks the principles in file order; generates nothing for the silent pair."""

    def score_choices(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        if "principle" in request.prefill:
            return [2.0 ** -PRINCIPLE_NAMES.index(candidate.strip()) for candidate in candidates]
        chain = _parse_chain(request)
        confidence = CONFIDENCES.get(chain[-1], 0.5) if chain else 0.9
        return _prefer_good(request, confidence if "tea" in _text(request) else 0.5 + 0.1 * len(chain or [""] * 4))

    return ScriptedEngine(
        reply=lambda request: "" if "mute" in _text(request) else THOUGHT, choice_weights=score_choices
    )


def create_weak_engine() -> ScriptedEngine:
    """Prefers the poor response of the first pair, unless the prompt has an argument."""

    def score_choices(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        has_argument = "<argument_for" in request.prompt[0].content
        return _prefer_good(request, 0.3 if "tea" in _text(request) and not has_argument else 0.8)

    return ScriptedEngine(choice_weights=score_choices)


def create_scripted_run(folder: Path, samples: int = 2) -> Path:
    """Arms `human`, `seam`, `seam_filtered` (which shares the labels of `seam`), `debate` and `consultancy`, and `weak_model`,
    which has predictions on the test pair."""
    store, engines = Store(folder), {"strong": create_strong_engine(), "weak": create_weak_engine()}
    inputs = AnnotatorInputs(engines=engines)
    split = _create_split(store)
    labels = {"human": _create_labels(store, "human", [build_human_annotation(pair) for pair in UNLABELED])}
    for name, annotator in create_annotators().items():
        labels[name] = _create_labels(store, name, annotator.annotate(UNLABELED, inputs))
    predictions = _create_labels(store, "predict.weak_model", create_seam().annotate(TEST, inputs))[1].folder.name
    stages = {name: artifact.folder.name for name, (_, artifact) in labels.items()}
    stages["seam_filtered"] = _create_filtered_labels(store, split, labels["seam"]).folder.name
    rows = [_build_row(name, stages[name]) for name in ("human", "seam", "seam_filtered", "debate", "consultancy")]
    rows.append({**_build_row("weak_model", ""), "annotator": "", "labels": None, "predictions": predictions})
    index: dict[str, Any] = {
        "trimtab_version": "0.1.0",
        "study": "scripted",
        "split": split[1].folder.name,
        "test_rewards": {},
        "created": [],
    }
    index |= {"rows": rows, "stages": [split[1].folder.name, *dict.fromkeys(stages.values()), predictions]}
    (folder / "run.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY.format(samples=samples), encoding="utf-8")
    return folder


def _text(request: EngineRequest) -> str:
    return request.prompt[0].content.split("The case to ")[-1]


def _parse_chain(request: EngineRequest) -> list[str]:
    principles = re.findall(r"first:\n\n<principles>\n(.*?)\n</principles>", request.prompt[0].content, re.DOTALL)
    return [line.split(":")[0] for line in principles[0].splitlines()] if principles else []


def _prefer_good(request: EngineRequest, probability: float) -> list[float]:
    """The probability for the good response, in the order of the prompt."""
    first = re.findall(r"<response_1>\n(.*?)\n</response_1>", _text(request), re.DOTALL)[-1]
    return [probability, 1 - probability] if "good" in first else [1 - probability, probability]


def _create_split(store: Store) -> tuple[Stage, Artifact]:
    splits = {"labeled": LABELED, "unlabeled": UNLABELED, "test": TEST}

    def execute(draft: Any, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
        for split, pairs in splits.items():
            draft.write_rows(split, pairs_to_rows(pairs), PAIR_SCHEMA)
        counts = {split: len(pairs) for split, pairs in splits.items()}
        return {"pairs": counts, "prompts": counts, "layout": {}, "failures": 0, "reasons": {}}

    return _create_artifact(store, Stage(name="split", kind="split", execute=execute), {})


def _create_labels(store: Store, name: str, annotations: Sequence[Annotation]) -> tuple[Stage, Artifact]:
    def execute(draft: Any, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
        draft.write_rows("annotations", annotations_to_rows(annotations), ANNOTATION_SCHEMA)
        return {"pairs": len(annotations)}

    stage = Stage(name=f"annotate.{name}", kind="annotate", execute=execute, settings={"kind": name})
    return _create_artifact(store, stage, {})


def _create_filtered_labels(store: Store, split: tuple[Stage, Artifact], labels: tuple[Stage, Artifact]) -> Artifact:
    stage = filter_stage("filter.seam_filtered", Information(fraction=0.5), split[0], labels[0], {})
    return _create_artifact(store, stage, {"split": split[1], "labels": labels[1]})[1]


def _create_artifact(store: Store, stage: Stage, inputs: Mapping[str, Artifact]) -> tuple[Stage, Artifact]:
    runtime = create_runtime()
    return stage, store.get_or_create(stage.name, stage.recipe, lambda draft: stage.execute(draft, inputs, runtime))


def _build_row(name: str, labels: str) -> dict[str, Any]:
    annotator = {"seam_filtered": "seam"}.get(name, name)
    none = dict.fromkeys(("training", "policy_logprobs", "reference_logprobs", "completions", "predictions"))
    return {"name": name, "annotator": annotator, "labels": labels, "scores": {}, **none}
