"""A run's folder made by hand: real annotators, filters and stages, scripted models, and nothing trained."""

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

NAMES = [each.name for each in load_principles()]
HOSTILE = "Is [bold red]tea[/bold red] <script>alert('x')</script> \x1b[2J good?"
# The first goes back, for how sure the strong model is there does not follow the order of the principles; the others do not.
WINDING = Pair.from_responses(build_user_prompt(HOSTILE), "a good [/x] answer", "a poor <i>answer</i>", "first")
CALM = [
    Pair.from_responses(build_user_prompt(f"A calm question {place}?"), "a good answer", "a poor answer", "first")
    for place in range(3)
]
MUTE = Pair.from_responses(build_user_prompt("A mute question?"), "a good answer", "a poor answer", "second")
UNLABELED = [WINDING, *CALM, MUTE]
LABELED = [Pair.from_responses(build_user_prompt("A labeled question?"), "yes", "no", "first")]
TEST = [Pair.from_responses(build_user_prompt("A calm test question?"), "a good answer", "a poor answer", "first")]
SURE = {"Informative": 0.6, "Engaging": 0.55, "Logical": 0.7, "Candor": 0.8}
THOUGHT = "Response 1 is [red]good[/red], <b>Response 2</b> is poor."
STUDY = """
name: made-by-hand
data: {{kind: file, path: pairs.jsonl}}
models: {{weak: smollm2-135m-instruct, student: gemma3-270m}}
num_report_samples: {samples}
"""


def runtime() -> Runtime:
    return Runtime(progress=lambda label, total, unit: nullcontext(lambda done=1: None), notify=lambda message: None)


def seam() -> Seam:
    return Seam.model_validate({"weak": {"kind": "scripted"}, "strong": {"kind": "scripted"}})


def annotators() -> dict[str, Annotator]:
    scripted = {"weak": {"kind": "scripted"}, "strong": {"kind": "scripted"}}
    return {
        "seam": seam(),
        "debate": Debate.model_validate({**scripted, "rounds": 1}),
        "consultancy": Consultancy.model_validate(scripted),
    }


def strong_engine() -> ScriptedEngine:
    """Ranks the principles as they come; writes nothing on the mute pair."""

    def weigh(question: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        if "principle" in question.prefill:
            return [2.0 ** -NAMES.index(each.strip()) for each in candidates]
        chain = _chain(question)
        winding = SURE.get(chain[-1], 0.5) if chain else 0.9
        return _for_good(question, winding if "tea" in _text(question) else 0.5 + 0.1 * len(chain or [""] * 4))

    return ScriptedEngine(reply=lambda asked: "" if "mute" in _text(asked) else THOUGHT, choice_weights=weigh)


def weak_engine() -> ScriptedEngine:
    """On the first pair it prefers the poor answer, unless somebody argued for one of them."""

    def weigh(question: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        argued = "<argument_for" in question.prompt[0].content
        return _for_good(question, 0.3 if "tea" in _text(question) and not argued else 0.8)

    return ScriptedEngine(choice_weights=weigh)


def make_run(folder: Path, samples: int = 2) -> Path:
    """Arms `human`, `seam`, `seam_filtered`, which shares the labels of `seam`, `debate` and `consultancy`; and `weak_model`,
    which has predictions on the test pair."""
    store, engines = Store(folder), {"strong": strong_engine(), "weak": weak_engine()}
    split = _split(store)
    labels = {"human": _labels(store, "human", [build_human_annotation(pair) for pair in UNLABELED])}
    for name, annotator in annotators().items():
        labels[name] = _labels(store, name, annotator.annotate(UNLABELED, AnnotatorInputs(engines=engines)))
    predictions = _labels(store, "predict.weak_model", seam().annotate(TEST, AnnotatorInputs(engines=engines)))[
        1
    ].folder.name
    stages = {name: made[1].folder.name for name, made in labels.items()}
    stages["seam_filtered"] = _filtered(store, split, labels["seam"]).folder.name
    arms = [_arm(name, stages[name]) for name in ("human", "seam", "seam_filtered", "debate", "consultancy")]
    arms.append({**_arm("weak_model", ""), "annotator": "", "labels": None, "predictions": predictions})
    index: dict[str, Any] = {
        "trimtab_version": "0.1.0",
        "study": "made-by-hand",
        "split": split[1].folder.name,
        "test_rewards": {},
        "created": [],
    }
    index |= {"rows": arms, "stages": [split[1].folder.name, *dict.fromkeys(stages.values()), predictions]}
    (folder / "run.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY.format(samples=samples), encoding="utf-8")
    return folder


def _text(question: EngineRequest) -> str:
    return question.prompt[0].content.split("The case to ")[-1]


def _chain(question: EngineRequest) -> list[str]:
    listed = re.findall(r"first:\n\n<principles>\n(.*?)\n</principles>", question.prompt[0].content, re.DOTALL)
    return [line.split(":")[0] for line in listed[0].splitlines()] if listed else []


def _for_good(question: EngineRequest, share: float) -> list[float]:
    first = re.findall(r"<response_1>\n(.*?)\n</response_1>", _text(question), re.DOTALL)[-1]
    return [share, 1 - share] if "good" in first else [1 - share, share]


def _split(store: Store) -> tuple[Stage, Artifact]:
    sides = {"labeled": LABELED, "unlabeled": UNLABELED, "test": TEST}

    def make(draft: Any, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
        for side, pairs in sides.items():
            draft.write_rows(side, pairs_to_rows(pairs), PAIR_SCHEMA)
        counts = {side: len(pairs) for side, pairs in sides.items()}
        return {"pairs": counts, "prompts": counts, "layout": {}, "failures": 0, "reasons": {}}

    return _made(store, Stage(name="split", kind="split", execute=make), {})


def _labels(store: Store, name: str, annotations: Sequence[Annotation]) -> tuple[Stage, Artifact]:
    def make(draft: Any, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
        draft.write_rows("annotations", annotations_to_rows(annotations), ANNOTATION_SCHEMA)
        return {"pairs": len(annotations)}

    return _made(store, Stage(name=f"annotate.{name}", kind="annotate", execute=make, settings={"kind": name}), {})


def _filtered(store: Store, split: tuple[Stage, Artifact], labels: tuple[Stage, Artifact]) -> Artifact:
    stage = filter_stage("filter.seam_filtered", Information(fraction=0.5), split[0], labels[0], {})
    return _made(store, stage, {"split": split[1], "labels": labels[1]})[1]


def _made(store: Store, stage: Stage, inputs: Mapping[str, Artifact]) -> tuple[Stage, Artifact]:
    return stage, store.get_or_create(stage.name, stage.recipe, lambda draft: stage.execute(draft, inputs, runtime()))


def _arm(name: str, labels: str) -> dict[str, Any]:
    kind = {"seam_filtered": "Seam"}.get(name, name.capitalize())
    none = dict.fromkeys(("training", "policy_logprobs", "reference_logprobs", "completions", "predictions"))
    return {"name": name, "description": "", "annotator": kind, "skipped": "", "labels": labels, "scores": {}, **none}
