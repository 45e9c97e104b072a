"""Labels for a file of pairs, without a study."""

from __future__ import annotations

import csv
import io
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from trimtab.annotators.longest import Longest
from trimtab.components import Component, build, build_said, kind_of
from trimtab.data.file import File
from trimtab.errors import StudyError
from trimtab.lent import Found, Lender, identity, unopened
from trimtab.plan.files import split_of_files, study_of_files
from trimtab.plan.labels import Labels
from trimtab.plan.parts import ordered
from trimtab.prompts.preference import PLAIN
from trimtab.protocols import Examines, Given, LearnsFromHeldOut, LearnsReward, ReadsFeatures, ResponseScores, Runtime
from trimtab.run import LABELS, fetch, make
from trimtab.stages.annotate import as_annotator, asking, checked
from trimtab.stages.asked import Asked
from trimtab.stages.engines import engines_of
from trimtab.stages.filter import as_filter, filtered
from trimtab.stages.tables import annotations_of
from trimtab.statistics import agreement
from trimtab.store import Artifact, Draft, Store, write_whole
from trimtab.study import Arm
from trimtab.types import Annotation, Choice, Dataset, Metric, Pair

Rows = Sequence[Mapping[str, Any]]

LEARNED = "learned"


@dataclass(frozen=True, slots=True)
class Fit:
    """Labeled pairs to learn from: a file, and of how many of its pairs a sample is taken.

    Pairs of more than `max_tokens` are not learned from, and labels of such pairs fail; None stands for a study's default.
    """

    file: Path
    limit: int | None = None
    max_tokens: int | None = None


COLUMNS = pa.schema([*LABELS, ("note", pa.string()), ("calls", pa.int64()), ("detail", pa.string())])
COMMONEST = 3


def label_file(
    pairs: Path,
    kind: str,
    settings: Sequence[str],
    run_dir: Path | None,
    to: Path,
    runtime: Runtime,
    fit: Fit | None = None,
    filter_by: str = "",
) -> str:
    """Writes a row a pair to `to` and says in a few lines how it went.

    Models named with an @ are those of the finished run in `run_dir`: the annotator's `@weak` is its weak model. An
    annotator that learns does so from `fit`. `filter_by` is a filter's kind, or YAML with its settings; what it drops is
    written as abstained. Answers that were paid for lie beside `to` until none is missing, so that the same command goes on
    after a kill and asks again what failed. Raises `StudyError` before any work where the annotator, its models, the filter or
    `to` will not do, `EngineError` where a model can be asked no longer, and `DataError` after writing where too many labels
    failed, or the filter keeps none.
    """
    write = _writer(pairs, to)
    component = build_said("annotators", kind, settings)
    _check_alone(component, kind, fit)
    chosen = _filter(filter_by)
    lender = Lender(run_dir, component.exam() if isinstance(component, Examines) else PLAIN)
    models = {name: lender.found(name) for name in as_annotator(component).models()}
    engines = engines_of(component)
    asked = [lender.identity(engine) for engine in engines.values()]
    dataset = File(path=str(pairs)).load()
    start, kept = time.monotonic(), to.with_name(f"{to.name}.asked")
    started = {
        name: lender.start(engine, runtime) for name, engine in engines.items()
    }  # which may fail: before the work
    given = Given(
        logprobs={name: _table(model, dataset.pairs, runtime) for name, model in models.items()},
        human={pair.id: pair.human for pair in dataset.pairs if pair.human is not None},
        engines={
            name: Asked(engine=engine, identity=lender.kept_as(engines[name]), folder=kept)
            for name, engine in started.items()
        },
        pairs={pair.id: pair for pair in dataset.pairs},
    )
    labels = _labels(component, pairs, dataset.pairs, given, fit, kept, runtime)
    shared = {
        "annotator": type(component).__name__,
        "weights": " ".join([*map(identity, models.values()), *asked]),
        "seconds": (time.monotonic() - start) / len(dataset.pairs),
    }
    write([shared | _row(given.pairs[label.pair_id], label) for label in labels])
    checked(kind, list(dataset.pairs), labels, str(to))
    lines = _summary(pairs.name, dataset, labels, given.human)
    if chosen is not None:
        labels = filtered("--filter", chosen, labels, given)
        write([shared | _row(given.pairs[label.pair_id], label) for label in labels])
        lines.append(f"{sum(each.status == 'ok' for each in labels)} labels kept by {kind_of(chosen)}")
    if engines and any(each.status == "failed" for each in labels):
        lines.append(f"the same command asks again for those that failed; the other answers are kept in {kept}")
    elif kept.is_dir():
        shutil.rmtree(kept)
    return "\n".join(lines)


def _labels(
    component: Component, file: Path, pairs: Sequence[Pair], given: Given, fit: Fit | None, kept: Path, runtime: Runtime
) -> list[Annotation]:
    if fit is not None:
        return _learned(component, file, pairs, fit, kept, runtime)
    if given.engines:
        return asking("Asking", as_annotator(component), pairs, given, runtime, kept)
    return as_annotator(component).annotate(pairs, given)


def _filter(text: str) -> Component | None:
    """The filter of `--filter`. Raises `StudyError` where it reads what only a study has."""
    if not text:
        return None
    try:
        chosen = build("filters", yaml.safe_load(text))
    except (StudyError, yaml.YAMLError) as error:
        raise StudyError(f"--filter {text}: {error}") from error
    if others := as_filter(chosen).arms():
        raise StudyError(
            f"--filter {text}: it reads the labels of other arms ({', '.join(others)}), which only a study has"
        )
    if isinstance(chosen, LearnsFromHeldOut):
        raise StudyError(f"--filter {text}: it learns from labeled pairs of a study; make the annotator an arm of one")
    return chosen


def _check_alone(component: Component, kind: str, fit: Fit | None) -> None:
    """Raises `StudyError` for an annotator that needs a study, and for one that does not get what it learns from."""
    if others := as_annotator(component).arms():
        raise StudyError(
            f"--with {kind}: it reads the labels of other arms ({', '.join(others)}), which only a study has; "
            "make it an arm of one"
        )
    learns = isinstance(component, ReadsFeatures | LearnsReward)
    if learns and fit is None:
        raise StudyError(f"--with {kind}: it learns from labeled pairs; name a file of them with --fit FILE")
    if fit is not None and not learns:
        raise StudyError(f"--fit: {kind} learns from no labeled pairs; leave it out")


def _learned(
    component: Component, file: Path, pairs: Sequence[Pair], fit: Fit, folder: Path, runtime: Runtime
) -> list[Annotation]:
    """Labels by an annotator that learns from the pairs of `fit`; pairs that are too long for its model are failed."""
    arms = {LEARNED: Arm(annotator=component, train=False)}
    study = study_of_files("labels", file, arms, max_tokens=fit.max_tokens)
    split = split_of_files(study, File(path=str(fit.file), limit=fit.limit), File(path=str(file)))
    labels = Labels(study, split).given(LEARNED)
    artifacts: dict[str, Artifact] = {}
    fetch(study, runtime)
    make(ordered([labels]), Store(folder), runtime, artifacts, lambda *_: None)
    found = annotations_of(artifacts[labels.recipe.fingerprint])
    long = f"longer than {study.max_tokens} tokens; --max-tokens N allows more"
    return [found.get(pair.id, Annotation(pair_id=pair.id, p_a=None, status="failed", note=long)) for pair in pairs]


def _table(model: Found, pairs: Sequence[Pair], runtime: Runtime) -> dict[str, ResponseScores]:
    """A model's log-probabilities of the pairs; the model is gone from memory when they are returned."""
    from trimtab.lm.models import release  # noqa: PLC0415 - loads torch
    from trimtab.stages.logprobs import score_pairs  # noqa: PLC0415

    scores = score_pairs(unopened(model, runtime), pairs, runtime)
    release()
    return scores


def _row(pair: Pair, label: Annotation) -> dict[str, Any]:
    return {
        "id": pair.id,
        "p_a": label.p_a,
        "margin": label.margin,
        "status": label.status,
        "prompt_hash": pair.prompt_id,
        "tokens": label.cost.prompt_tokens + label.cost.generated_tokens,
        "note": label.note,
        "calls": label.cost.calls,
        "detail": json.dumps(label.detail, ensure_ascii=False) if label.detail else "",
        **({"seconds": label.cost.seconds} if label.cost.calls else {}),
    }


def _writer(pairs: Path, to: Path) -> Callable[[Rows], None]:
    """What writes rows to `to` in the format of its suffix. Raises `StudyError` where that cannot be."""
    formats: dict[str, Callable[[Rows], None]] = {
        ".parquet": lambda rows: Draft(folder=to.parent).write_rows(to.stem, rows, COLUMNS),
        ".jsonl": lambda rows: write_whole(to, "".join(_line(row) for row in rows)),
        ".csv": lambda rows: write_whole(to, _csv(rows)),
    }
    if to.suffix not in formats:
        raise StudyError(f"--out {to}: the suffix must be one of {', '.join(formats)}, got {to.suffix or 'none'}")
    if to.resolve() == pairs.resolve():
        raise StudyError(f"--out {to}: that is the file of pairs itself; name another")
    if to.is_dir():
        raise StudyError(f"--out {to}: that is a folder; name a file in it")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"--out {to}: cannot make the folder {to.parent}: {error.strerror}") from error
    return formats[to.suffix]


def _line(row: Mapping[str, Any]) -> str:
    """A row as JSON, its detail as JSON within it."""
    return json.dumps({**_ordered(row), "detail": json.loads(row["detail"] or "{}")}) + "\n"


def _ordered(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in COLUMNS.names}


def _csv(rows: Rows) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS.names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_ordered(row) for row in rows)
    return text.getvalue()


def _summary(file: str, dataset: Dataset, labels: Sequence[Annotation], human: Mapping[str, Choice]) -> list[str]:
    status = Counter(label.status for label in labels)
    lines = [f"{len(labels)} pairs: {status['ok']} labeled, {status['abstained']} abstained, {status['failed']} failed"]
    if dataset.failures:
        reasons = Counter(failure.reason for failure in dataset.failures).most_common(COMMONEST)
        told = "; ".join(f"{reason} ({count})" for reason, count in reasons)
        lines.append(f"{len(dataset.failures)} rows of {file} gave no pair: {told}")
    ours: dict[str, Choice | None] = {label.pair_id: label.choice for label in labels if label.choice is not None}
    theirs: dict[str, Choice | None] = {key: human[key] for key in ours if key in human}
    if not theirs:
        return [*lines, "no labeled pair has a human label to compare with"]
    longest = {each.pair_id: each.choice for each in Longest().annotate(dataset.pairs, Given())}
    return [
        *lines,
        f"agreement with the human labels: {_told(agreement(ours, theirs))}",
        f"the longer response, on the same pairs: {_told(agreement(longest, theirs))}",
    ]


def _told(metric: Metric) -> str:
    """`0.71 [0.65, 0.77] of 512 pairs`, and how many pairs the rule said nothing of."""
    if metric.value is None:
        return f"says nothing of any of {metric.n_failed} pairs"
    silent = f" (it says nothing of {metric.n_failed})" if metric.n_failed else ""
    return f"{metric.value:.2f} [{metric.low:.2f}, {metric.high:.2f}] of {metric.n} pairs{silent}"
