"""The scorer of the starter set."""

from collections.abc import Iterator
from contextlib import contextmanager

from trimtab.core.component import find_component_class
from trimtab.core.interfaces import Scorer
from trimtab.core.runtime import ProgressTick, Runtime
from trimtab.scorers.synthetic_checker import SyntheticChecker
from trimtab.starter import generate_items
from trimtab.types import Completion, Message, Prompt, build_user_prompt, prompt_hash

KNOWN = generate_items()[0]


class Counted:
    """A progress bar that keeps what it was told."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0

    @contextmanager
    def __call__(self, label: str, total: int, unit: str) -> Iterator[ProgressTick]:
        self.total += total
        yield self.tick

    def tick(self, done: int = 1) -> None:
        self.done += done


def runtime(progress: Counted) -> Runtime:
    return Runtime(progress=progress, notify=lambda text: None)


def completed(prompt: Prompt, text: str) -> Completion:
    return Completion(prompt_id=prompt_hash(prompt), prompt=prompt, text=text, n_tokens=3, finish_reason="end")


def test_a_completion_gets_the_gold_reward_of_its_prompt_in_order() -> None:
    texts = (KNOWN.better, KNOWN.worse, "")
    scores = SyntheticChecker().score(
        [completed(build_user_prompt(KNOWN.prompt), text) for text in texts], runtime(Counted())
    )
    assert [score.value for score in scores] == [KNOWN.gold_better, KNOWN.gold_worse, 0.0]
    assert all(
        score.status == "ok" and score.prompt_id == prompt_hash(build_user_prompt(KNOWN.prompt)) for score in scores
    )


def test_the_last_user_turn_is_what_was_asked() -> None:
    prompt = (
        Message(role="system", content="Be brief."),
        *build_user_prompt("Hello."),
        *build_user_prompt(KNOWN.prompt),
    )
    (score,) = SyntheticChecker().score([completed(prompt, KNOWN.better)], runtime(Counted()))
    assert score.value == KNOWN.gold_better


def test_a_prompt_of_another_set_is_failed_and_never_zero() -> None:
    unknown = completed(build_user_prompt("What is love?"), "Love.")
    silent = completed((Message(role="system", content="Be brief."),), "Yes.")
    scores = SyntheticChecker().score([unknown, silent], runtime(Counted()))
    assert [(score.value, score.status) for score in scores] == [(None, "failed"), (None, "failed")]
    assert "What is love?" in scores[0].note
    assert scores[1].note == "the prompt has no user turn"


def test_progress_hears_of_every_completion() -> None:
    counted = Counted()
    SyntheticChecker().score([completed(build_user_prompt(KNOWN.prompt), "Yes.")] * 3, runtime(counted))
    assert (counted.done, counted.total) == (3, 3)


def test_it_is_a_scorer_and_is_found_by_its_kind() -> None:
    assert find_component_class("scorers", "checker") is SyntheticChecker
    assert isinstance(SyntheticChecker(), Scorer)
