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
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from trimtab.annotators.longest import Longest
from trimtab.components import Component, build_said
from trimtab.data.file import File
from trimtab.engines.transformers import Transformers, TransformersEngine
from trimtab.errors import StudyError
from trimtab.lm.weights import Model
from trimtab.plan.files import split_of_files, study_of_files
from trimtab.plan.labels import Labels
from trimtab.plan.parts import ordered
from trimtab.protocols import (
    Annotator,
    Engine,
    Given,
    LearnsReward,
    ReadsFeatures,
    ResponseScores,
    Runtime,
    Startable,
)
from trimtab.run import LABELS, fetch, make, read_index
from trimtab.stages.annotate import as_annotator, checked
from trimtab.stages.asked import CHUNK, Asked
from trimtab.stages.engines import engines_of
from trimtab.stages.stage import model_identity
from trimtab.stages.tables import annotations_of
from trimtab.statistics import agreement
from trimtab.store import Artifact, Draft, Store, open_artifact, write_whole
from trimtab.study import Arm
from trimtab.types import Annotation, Choice, Dataset, Metric, Pair

if TYPE_CHECKING:
    from trimtab.lm.models import Loaded
    from trimtab.lm.unopened import Unopened

Rows = Sequence[Mapping[str, Any]]
# A model by its name, or the folder of a stage that trained one.
Found = Model | Path

LEARNED = "learned"


@dataclass(frozen=True, slots=True)
class Fit:
    """Labeled pairs to learn from: a file, and of how many of its pairs a sample is taken.

    Pairs of more than `max_tokens` are not learned from, and labels of such pairs fail; None stands for a study's default.
    """

    file: Path
    limit: int | None = None
    max_tokens: int | None = None


COLUMNS = LABELS.append(pa.field("note", pa.string()))
CARD = "model.json"
COMMONEST = 3


def label_file(
    pairs: Path,
    kind: str,
    settings: Sequence[str],
    run_dir: Path | None,
    to: Path,
    runtime: Runtime,
    fit: Fit | None = None,
) -> str:
    """Writes a row a pair to `to` and says in a few lines how it went.

    `@weak` and `@weak.sft` among the annotator's models are the weak model of the finished run in `run_dir` and its
    reference. An annotator that learns does so from `fit`. Answers that were paid for lie beside `to` until all is well, so
    that the same command goes on after a kill. Raises `StudyError` before any work where the annotator, its models or `to`
    will not do, and `DataError` after writing where too many labels failed.
    """
    write = _writer(pairs, to)
    component = build_said("annotators", kind, settings)
    annotator = as_annotator(component)
    if annotator.arms():
        raise StudyError(
            f"--with {kind}: it reads the labels of other arms ({', '.join(annotator.arms())}), which only a study has; "
            "make it an arm of one"
        )
    _check_fit(component, kind, fit)
    models = {name: _found(name, run_dir) for name in annotator.models()}
    engines = engines_of(component)
    dataset = File(path=str(pairs)).load()
    start = time.monotonic()
    tables = {name: _table(model, dataset.pairs, runtime) for name, model in models.items()}
    kept = to.with_name(f"{to.name}.asked")
    opened = {
        name: Asked(engine=_engine(engine, run_dir, runtime), identity=_engine_identity(engine, run_dir), folder=kept)
        for name, engine in engines.items()
    }
    human: dict[str, Choice] = {pair.id: pair.human for pair in dataset.pairs if pair.human is not None}
    given = Given(logprobs=tables, human=human, engines=opened)
    if fit is not None:
        labels = _learned(component, pairs, dataset.pairs, fit, kept, runtime)
    else:
        labels = (
            _asking(annotator, dataset.pairs, given, runtime) if opened else annotator.annotate(dataset.pairs, given)
        )
    shared = {
        "annotator": type(component).__name__,
        "weights": " ".join(
            [*map(_identity, models.values()), *(_engine_identity(engine, run_dir) for engine in engines.values())]
        ),
        "seconds": (time.monotonic() - start) / len(dataset.pairs),
    }
    write([shared | _row(pair, label) for pair, label in zip(dataset.pairs, labels, strict=True)])
    checked(kind, list(dataset.pairs), labels, str(to))
    if kept.is_dir():
        shutil.rmtree(kept)
    return "\n".join(_summary(pairs.name, dataset, labels, human))


def _check_fit(component: Component, kind: str, fit: Fit | None) -> None:
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


def _asking(annotator: Annotator, pairs: Sequence[Pair], given: Given, runtime: Runtime) -> list[Annotation]:
    """Labels that cost questions, chunk by chunk; what was answered before a kill is not asked again."""
    labels: list[Annotation] = []
    with runtime.progress("Asking", len(pairs), "pairs") as tick:
        for start in range(0, len(pairs), CHUNK):
            chunk = pairs[start : start + CHUNK]
            labels += annotator.annotate(chunk, given)
            tick(len(chunk))
    return labels


def _found(name: str, run_dir: Path | None) -> Found:
    if name.startswith("@"):
        if run_dir is None:
            raise StudyError(
                f"{name} is the weak model that a study trained: name its folder with --run DIR, or name another model"
            )
        return _weak_model(name, run_dir)
    path = Path(name).expanduser()
    if (path / CARD).is_file():
        return path
    model = Model(base=name)
    model_identity(model)  # a name that can never be found is refused before the pairs are read
    return model


def _weak_model(name: str, run_dir: Path) -> Found:
    if name not in ("@weak", "@weak.sft"):
        raise StudyError(f"there is no model {name!r} in a run (there are: @weak, @weak.sft)")
    index = read_index(run_dir)
    trained: str = next(arm["training"] for arm in index["arms"] if arm["name"] == "weak_model")
    folder = open_artifact(run_dir / "stages" / trained).folder
    if name == "@weak":
        return folder
    base: Mapping[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))["base"]
    if "folder" in base:
        return folder.parent / str(base["folder"])
    model: Model = Model.model_validate(base["model"])
    return model


def _table(model: Found, pairs: Sequence[Pair], runtime: Runtime) -> dict[str, ResponseScores]:
    """A model's log-probabilities of the pairs; the model is gone from memory when they are returned."""
    from trimtab.lm.models import release  # noqa: PLC0415 - loads torch
    from trimtab.stages.logprobs import score_pairs  # noqa: PLC0415

    scores = score_pairs(_unopened(model, runtime), pairs, runtime)
    release()
    return scores


def _engine(engine: Startable, run_dir: Path | None, runtime: Runtime) -> Engine:
    """An open engine; `@weak` is the weak model of the run."""
    if not (isinstance(engine, Transformers) and engine.model.startswith("@")):
        return engine.start(runtime)
    return TransformersEngine(_open(_found(engine.model, run_dir), runtime), runtime.token_budget)


def _engine_identity(engine: Startable, run_dir: Path | None) -> str:
    ours = isinstance(engine, Transformers) and engine.model.startswith("@")
    return _identity(_found(engine.model, run_dir)) if ours else engine.identity()  # type: ignore[attr-defined]


def _open(model: Found, runtime: Runtime) -> Loaded:
    from trimtab.lm.models import open_base, open_trained  # noqa: PLC0415 - loads torch

    if isinstance(model, Path):
        return open_trained(model, runtime.notify, runtime.device, merge=True)
    return open_base(model, runtime.notify, runtime.device)


def _unopened(model: Found, runtime: Runtime) -> Unopened:
    from trimtab.lm.unopened import unopened_base, unopened_trained  # noqa: PLC0415 - loads torch

    if isinstance(model, Path):
        return unopened_trained(model, runtime.notify, runtime.device)
    return unopened_base(model, runtime.notify, runtime.device)


def _identity(model: Found) -> str:
    return str(open_artifact(model).record["fingerprint"]) if isinstance(model, Path) else model_identity(model)


def _row(pair: Pair, label: Annotation) -> dict[str, Any]:
    return {
        "id": pair.id,
        "p_a": label.p_a,
        "margin": label.margin,
        "status": label.status,
        "prompt_hash": pair.prompt_id,
        "tokens": label.cost.prompt_tokens + label.cost.generated_tokens,
        "note": label.note,
        **({"seconds": label.cost.seconds} if label.cost.calls else {}),
    }


def _writer(pairs: Path, to: Path) -> Callable[[Rows], None]:
    """What writes rows to `to` in the format of its suffix. Raises `StudyError` where that cannot be."""
    formats: dict[str, Callable[[Rows], None]] = {
        ".parquet": lambda rows: Draft(folder=to.parent).write_rows(to.stem, rows, COLUMNS),
        ".jsonl": lambda rows: write_whole(to, "".join(json.dumps(_ordered(row)) + "\n" for row in rows)),
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
