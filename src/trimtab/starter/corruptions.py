"""Makes a response better or worse with added phrases: openers, padding, rudeness; and off-task responses."""

from __future__ import annotations

from random import Random

from trimtab.starter.texts import Texts

CORRUPTIONS = Texts("corruptions")


def add_opener(rng: Random, text: str) -> str:
    return f"{rng.choice(CORRUPTIONS.phrases('openers'))} {text}"


def add_padding(rng: Random, text: str) -> str:
    """The text with an uninformative remark before or after it."""
    remark = rng.choice(CORRUPTIONS.phrases("padding"))
    return f"{text} {remark}" if rng.random() < 0.6 else f"{remark} {text}"


def add_rudeness(rng: Random, text: str) -> str:
    return f"{text} {rng.choice(CORRUPTIONS.phrases('rude_tails'))}"


def sample_off_task_responses(rng: Random) -> tuple[str, str, str]:
    """Three responses that do not attempt the task: a rude one, a refusal, and an off-topic one."""
    rude, refusal, off_topic = (
        rng.choice(CORRUPTIONS.phrases(key)) for key in ("rude_responses", "refusals", "off_topic")
    )
    return rude, refusal, off_topic


def build_response_pool(
    rng: Random, right: tuple[str, ...], wrong: tuple[str, ...], *, with_off_task: bool = True
) -> tuple[str, ...]:
    """Responses of varying quality from correct and wrong answers, each given from short to long."""
    responses = [*right, *wrong]
    responses += [add_opener(rng, right[-1]), add_opener(rng, wrong[-1])]
    responses += [add_padding(rng, rng.choice(right)), add_padding(rng, rng.choice(wrong))]
    responses += [add_rudeness(rng, rng.choice(right)), add_rudeness(rng, rng.choice(wrong))]
    if with_off_task:
        responses += sample_off_task_responses(rng)
    return tuple(dict.fromkeys(responses))
