"""Small tasks on words and sentences: choosing, extracting, correcting, judging."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from trimtab.starter.families.closed import STYLES, draft_closed_question
from trimtab.starter.item import PromptDraft, TaskFamily
from trimtab.starter.row_parser import CATEGORIES, CITIES, DAYS, MISSPELLED, NAMES, OBJECTS, parse_rows

DRAFTS_PER_FAMILY = 150
REVIEWS = parse_rows("""
The soup was wonderful and the waiter smiled. | positive
I would come back to this hotel any day. | positive
What a lovely park for a walk with children. | positive
The book kept me awake until three, I loved it. | positive
Fast delivery and a friendly driver. | positive
Our room had a great view of the lake. | positive
The new phone works perfectly. | positive
Best bread in town, warm and fresh. | positive
My seat was comfortable and the film was funny. | positive
The guide knew everything and was very patient. | positive
The soup was cold and the waiter was slow. | negative
I would never come back to this hotel. | negative
What a dirty park, full of broken glass. | negative
The book was dull, I gave up after ten pages. | negative
The parcel came late and the box was torn. | negative
Our room smelled of smoke and had no window. | negative
The new phone broke after one day. | negative
Dry bread, and far too expensive. | negative
My seat was hard and the film was boring. | negative
The guide was late and knew almost nothing. | negative
""")


def draft_yes_or_no() -> Iterator[PromptDraft]:
    members = [(member, group) for group, names in CATEGORIES.items() for member in names]
    for index in range(DRAFTS_PER_FAMILY):
        rng = Random(f"yesno:{index}")
        member, group = rng.choice(members)
        asked = group if index % 2 else rng.choice([one for one in CATEGORIES if one != group])
        right, wrong = ("yes", "no") if asked == group else ("no", "yes")
        article = "an" if asked[0] in "aeiou" else "a"
        style = STYLES[index // 2 % 2]
        yield draft_closed_question(
            rng,
            f'Is the thing called "{member}" {article} {asked}, yes or no?',
            right=right,
            wrong=wrong,
            sentence=f"The answer for {member} and {asked} is {{}}.",
            noun="word yes or no",
            style=style,
        )


def draft_choices() -> Iterator[PromptDraft]:
    for index in range(DRAFTS_PER_FAMILY):
        rng = Random(f"choose:{index}")
        group, *others = rng.sample(list(CATEGORIES), 4)
        right, wrong = rng.choice(CATEGORIES[group]), rng.choice(CATEGORIES[others[0]])
        options = [right, wrong, *(rng.choice(CATEGORIES[other]) for other in others[1:])]
        rng.shuffle(options)
        yield draft_closed_question(
            rng,
            f"Which of these is a kind of {group}: {', '.join(options[:-1])} or {options[-1]}?",
            right=right,
            wrong=wrong,
            others=tuple(options),
            sentence=f"Of these, {{}} is a kind of {group}.",
            noun="word",
            style=STYLES[index % 3],
        )


def draft_extraction() -> Iterator[PromptDraft]:
    for index in range(DRAFTS_PER_FAMILY + 60):
        rng = Random(f"extract:{index}")
        facts = {
            "name": rng.choice(NAMES),
            "thing": rng.choice(OBJECTS),
            "city": rng.choice(CITIES),
            "day": rng.choice(DAYS),
            "price": f"{rng.randint(12, 99)} dollars",
        }
        text = "{name} bought a {thing} in {city} on {day} for {price}.".format(**facts)
        asked = list(facts)[index % 5]
        right, wrong = facts[asked], facts[rng.choice([one for one in facts if one != asked])]
        kind = {"name": "name of the buyer", "thing": "thing bought"}.get(asked, asked)
        yield draft_closed_question(
            rng,
            f'Find the {kind} in this text: "{text}"',
            right=right,
            wrong=wrong,
            others=tuple(facts.values()),
            sentence=f"The {kind} is {{}}.",
            noun=asked,
            style="only" if index % 3 else "free",
        )


def draft_spelling() -> Iterator[PromptDraft]:
    asks = ('Correct the spelling of "{}".', 'My teacher marked the word "{}". How is it spelled?')
    for place, (bad, good) in enumerate(MISSPELLED):
        for style in STYLES:
            for ask in asks:
                rng = Random(f"spelling:{bad}:{style}:{ask}")
                middle = len(good) // 2
                wrong = rng.choice(
                    (f"{good[:middle]}{good[middle]}{good[middle:]}", good[: middle - 1] + good[middle:])
                )
                yield draft_closed_question(
                    rng,
                    ask.format(bad),
                    right=good,
                    wrong=wrong if place % 2 else bad,
                    sentence="The word is spelled {}.",
                    noun="word",
                    style=style,
                )


def draft_sentiment() -> Iterator[PromptDraft]:
    asks = (
        'Is this review positive or negative? "{}"', 'Does the writer of "{}" sound positive or negative?',
        'Label this text as positive or negative: "{}"',
    )  # fmt: skip
    for text, right in REVIEWS:
        wrong = "negative" if right == "positive" else "positive"
        for ask in asks:
            for style in STYLES:
                rng = Random(f"sentiment:{text}:{ask}:{style}")
                said = rng.choice(("This review is {}.", "The writer sounds {} here."))
                yield draft_closed_question(
                    rng, ask.format(text), right=right, wrong=wrong, sentence=said, noun="label", style=style
                )


LANGUAGE = (
    TaskFamily(
        name="yes_no",
        objective="helpful",
        description="questions to be answered with yes or no",
        generate_drafts=draft_yes_or_no,
    ),
    TaskFamily(
        name="choose", objective="helpful", description="the one of four that fits", generate_drafts=draft_choices
    ),
    TaskFamily(
        name="extraction",
        objective="helpful",
        description="one fact out of a sentence",
        generate_drafts=draft_extraction,
    ),
    TaskFamily(
        name="spelling", objective="helpful", description="a misspelled word corrected", generate_drafts=draft_spelling
    ),
    TaskFamily(
        name="sentiment",
        objective="helpful",
        description="whether a review is positive or negative",
        generate_drafts=draft_sentiment,
    ),
)
