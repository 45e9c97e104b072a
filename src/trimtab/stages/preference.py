"""Training a model to say which of two responses is better, in the words in which it will be asked."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trimtab.lm.rows import Row
from trimtab.prompts.preference import BOTH, PLAIN, choice_in
from trimtab.protocols import Exam, Form, Runtime
from trimtab.stages.models import ModelSource, base_of, identities, load, needs
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.train import labeled, log_facts, setup
from trimtab.store import Draft
from trimtab.training.settings import Preference
from trimtab.types import Annotation, Order, Pair

if TYPE_CHECKING:
    from trimtab.lm.models import Loaded
    from trimtab.training.loop import Example


def preference_stage(
    name: str,
    model: ModelSource,
    split: Stage,
    labels: Stage | None,
    recipe: Preference,
    seed: int,
    exam: Exam = PLAIN,
) -> Stage:
    """Trains on the human labels of the labeled pairs, or on those that `labels` put on the unlabeled, to answer `exam`."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        from trimtab.lm.models import save_adapter
        from trimtab.training.loop import n_steps
        from trimtab.training.preference import preference

        loaded = load(model, inputs, runtime)
        pairs = [(pair, label) for pair, label in labeled(inputs) if label.choice is not None]
        examples = [
            _example(loaded, exam.form, pair, label, order, recipe.soft)
            for pair, label in pairs
            for order in (BOTH if recipe.orders == "both" else (_drawn(pair, seed),))
        ]
        told_to = setup(name, seed, loaded, runtime)
        with runtime.progress(f"Training: {name}", n_steps(len(pairs), recipe), "steps") as tick:
            policy, log = preference(loaded.model, examples, recipe, told_to, draft.folder, tick)
        if runtime.leads:
            save_adapter(policy, base_of(model, inputs), draft.folder)
        return {**log_facts(log), "examples": len(examples), "tokens": sum(len(each.row) for each in examples)}

    return Stage(
        name=name,
        kind="preference",
        make=make,
        version=2,
        settings={"recipe": told(recipe), "seed": seed, **({"exam": dict(exam.settings)} if exam.settings else {})},
        needs={"split": split, **needs(model), **({"labels": labels} if labels else {})},
        identities=identities(model),
    )


def _drawn(pair: Pair, seed: int) -> Order:
    return BOTH[random.Random(f"{seed}:{pair.id}").randrange(2)]


def _example(loaded: Loaded, asked: Form, pair: Pair, label: Annotation, order: Order, soft: bool) -> Example:
    """The question in this order with both answers, and how much each of them counts."""
    from trimtab.training.loop import Example, Label

    question, chat = asked.verdict(pair, order), loaded.chat
    begun = chat.text_ids(question.begins)
    answers = [chat.text_ids(question.begins + each)[len(begun) :] for each in asked.candidates]
    row = Row(
        prompt=tuple(chat.prompt_ids(question.prompt) + begun),
        first=tuple(answers[0]) + chat.end_ids,
        second=tuple(answers[1]) + chat.end_ids,
    )
    p_first = float(label.p_a or 0.0) if choice_in(1, order) == "a" else 1.0 - float(label.p_a or 0.0)
    return Example(row, label=Label(p_first if soft else float(p_first > 0.5)))
