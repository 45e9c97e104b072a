"""Phrases that make a response better or worse: openers, padding, rudeness, needless refusals, things off topic."""

from __future__ import annotations

from random import Random

OPENERS = (
    "Sure:",
    "Of course.",
    "Gladly.",
    "Certainly:",
    "Here you go:",
    "Happy to help.",
    "Yes, gladly:",
    "With pleasure:",
)
PADDING = (
    "There is a lot more that one could say about this, and it is a topic people have talked about for years.",
    "I hope this helps, and feel free to ask me about anything else that comes to your mind at any time.",
    "Of course there are many sides to it, and it all depends on how one wishes to look at the matter.",
    "It is always good to learn new things, since learning new things is good for everyone in many ways.",
    "That is a great question, and it is one of those things that are really interesting to think about.",
    "As an AI language model I try to be as complete as possible, so let me also add this remark here.",
    "Before going on, it may be useful to think about what was asked and why it was asked in this way.",
    "Many people wonder about this every day, and it is worth taking the time to go over it slowly.",
)
RUDE_TAILS = (
    "Even you could have worked that out.", "Any child knows that.", "Stop wasting my time.", "What a silly question.",
    "Use your head next time.", "Don't bother me again.", "Try thinking for once.", "How dense can one be?",
)  # fmt: skip
RUDE_RESPONSES = (
    "Figure it out yourself.", "Who cares?", "That is a stupid thing to ask, so leave me alone.", "Not my problem.",
    "What a lazy question. Don't bother me with things that you can look up.", "Leave me alone.",
    "Use your head, I am busy and you are wasting my time.",
)  # fmt: skip
REFUSALS = (
    "I'm sorry, but I can't help with that.", "I must decline.",
    "I would rather not answer this, as it might be unsafe.",
    "That is not something I can help with, but you could ask a teacher instead.", "I'm unable to do that.",
    "I can't know that.", "Nobody can tell that for sure.", "I have no way of knowing.",
    "I cannot answer this. How about talking to someone you trust?", "I won't answer that.",
)  # fmt: skip
OFF_TOPIC = (
    "My favorite season is autumn.", "The train leaves from platform nine.", "Soup is best when it is hot.",
    "Gardens need water in summer, and roses should be cut back once a year in early spring.",
    "Which one do you mean?", "When should it be, and for how many people?", "Who is it for, and what is it about?",
    "Nobody knows.", "Music.", "A good pair of shoes lasts for years if one takes care of the leather.",
    "The library opens at ten.", "Could you tell me more?", "It depends.",
)  # fmt: skip


def add_opener(rng: Random, text: str) -> str:
    return f"{rng.choice(OPENERS)} {text}"


def add_padding(rng: Random, text: str) -> str:
    """The text with a remark that says nothing, before it or after it."""
    remark = rng.choice(PADDING)
    return f"{text} {remark}" if rng.random() < 0.6 else f"{remark} {text}"


def add_rudeness(rng: Random, text: str) -> str:
    return f"{text} {rng.choice(RUDE_TAILS)}"


def sample_off_task_responses(rng: Random) -> tuple[str, ...]:
    """Three responses that do not do the task at all: one rude, one refusing, one about something else."""
    return rng.choice(RUDE_RESPONSES), rng.choice(REFUSALS), rng.choice(OFF_TOPIC)


def build_response_pool(
    rng: Random, right: tuple[str, ...], wrong: tuple[str, ...], *, with_off_task: bool = True
) -> tuple[str, ...]:
    """Responses of every quality from the right and the wrong ones (each given from short to long)."""
    made = [*right, *wrong]
    made += [add_opener(rng, right[-1]), add_opener(rng, wrong[-1])]
    made += [add_padding(rng, rng.choice(right)), add_padding(rng, rng.choice(wrong))]
    made += [add_rudeness(rng, rng.choice(right)), add_rudeness(rng, rng.choice(wrong))]
    if with_off_task:
        made += sample_off_task_responses(rng)
    return tuple(dict.fromkeys(made))
