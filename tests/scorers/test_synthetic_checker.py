"""The scorer of the starter set."""

from collections.abc import Iterator
from contextlib import contextmanager

from trimtab.core.component import find_component_class
from trimtab.core.interfaces import Scorer
from trimtab.core.runtime import ProgressTick, Runtime
from trimtab.scorers.synthetic_checker import SyntheticChecker
from trimtab.starter import generate_items
from trimtab.types import Completion, Message, Prompt, build_user_prompt, prompt_hash

ITEM = generate_items()[0]


class CountingProgress:
    """A progress bar that records its calls."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0

    @contextmanager
    def __call__(self, label: str, total: int, unit: str) -> Iterator[ProgressTick]:
        self.total += total
        yield self.tick

    def tick(self, done: int = 1) -> None:
        self.done += done


def runtime(progress: CountingProgress) -> Runtime:
    return Runtime(progress=progress, notify=lambda text: None)


def build_completion(prompt: Prompt, text: str) -> Completion:
    return Completion(prompt_id=prompt_hash(prompt), prompt=prompt, text=text, n_tokens=3, finish_reason="end")


def test_a_completion_gets_the_gold_reward_of_its_prompt_in_order() -> None:
    texts = (ITEM.better, ITEM.worse, "")
    scores = SyntheticChecker().score(
        [build_completion(build_user_prompt(ITEM.prompt), text) for text in texts], runtime(CountingProgress())
    )
    assert [score.value for score in scores] == [ITEM.gold_better, ITEM.gold_worse, 0.0]
    assert all(
        score.status == "ok" and score.prompt_id == prompt_hash(build_user_prompt(ITEM.prompt)) for score in scores
    )


def test_the_last_user_turn_selects_the_checker() -> None:
    prompt = (
        Message(role="system", content="Be brief."),
        *build_user_prompt("Hello."),
        *build_user_prompt(ITEM.prompt),
    )
    (score,) = SyntheticChecker().score([build_completion(prompt, ITEM.better)], runtime(CountingProgress()))
    assert score.value == ITEM.gold_better


def test_an_unknown_prompt_gets_a_failed_score_and_never_zero() -> None:
    unknown = build_completion(build_user_prompt("What is love?"), "Love.")
    silent = build_completion((Message(role="system", content="Be brief."),), "Yes.")
    scores = SyntheticChecker().score([unknown, silent], runtime(CountingProgress()))
    assert [(score.value, score.status) for score in scores] == [(None, "failed"), (None, "failed")]
    assert "What is love?" in scores[0].note
    assert scores[1].note == "the prompt has no user turn"


def test_progress_counts_every_completion() -> None:
    progress = CountingProgress()
    SyntheticChecker().score([build_completion(build_user_prompt(ITEM.prompt), "Yes.")] * 3, runtime(progress))
    assert (progress.done, progress.total) == (3, 3)


def test_it_is_a_scorer_and_is_found_by_its_kind() -> None:
    assert find_component_class("scorers", "synthetic_checker") is SyntheticChecker
    assert isinstance(SyntheticChecker(), Scorer)
