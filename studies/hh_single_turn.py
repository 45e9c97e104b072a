"""Prepares the HH-RLHF files for the studies: python studies/hh_single_turn.py

Selects the training rows of `helpful-base` and `harmless-base` with a single-turn prompt, and splits them by prompt into
`../shared/data/hh1t_OBJECTIVE_{gt,w2s,test}.jsonl.gz`: labeled, unlabeled and test pairs. The output is deterministic.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path

from trimtab.data.split import DataSplits, SplitSettings, split_pairs
from trimtab.sources.hub import Hub
from trimtab.types import Choice, Pair

FILE_SUFFIXES = {"labeled": "gt", "unlabeled": "w2s", "test": "test"}
OBJECTIVES = ("helpful", "harmless")


def to_json_line(pair: Pair, better: Choice) -> bytes:
    worse = pair.b if better == "a" else pair.a
    row = {"prompt": pair.prompt[0].content, "chosen": pair.response(better), "rejected": worse}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def to_gzip_lines(pairs: Sequence[Pair]) -> bytes:
    """One row per pair, in the same order, without a time stamp."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as file:
        file.writelines(to_json_line(pair, pair.human) for pair in pairs if pair.human is not None)
    return stream.getvalue()


def load_and_split(dataset: str, objective: str, max_pairs: int) -> DataSplits:
    pairs = Hub(id=dataset, subset=f"{objective}-base").load().pairs
    single_turn = [pair for pair in pairs if len(pair.prompt) == 1]
    settings = SplitSettings(
        labeled=0.5, test=1 / 3, max_labeled=max_pairs, max_unlabeled=max_pairs, max_test=max_pairs
    )
    return split_pairs(single_turn, settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--id", default="Anthropic/hh-rlhf", help="dataset: a hub id, or a folder with its files")
    parser.add_argument("--out", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--max-pairs", type=int, default=4000, metavar="N", help="maximum number of pairs per file")
    options = parser.parse_args()
    paths = {
        (objective, split): options.out / f"hh1t_{objective}_{suffix}.jsonl.gz"
        for objective in OBJECTIVES
        for split, suffix in FILE_SUFFIXES.items()
    }
    existing = [path for path in paths.values() if path.exists()]
    if existing:
        raise SystemExit(f"{existing[0]} already exists; remove it, or choose another folder with --out")
    options.out.mkdir(parents=True, exist_ok=True)
    splits = {objective: load_and_split(options.id, objective, options.max_pairs) for objective in OBJECTIVES}
    for (objective, split), path in paths.items():
        pairs = getattr(splits[objective], split)
        path.write_bytes(to_gzip_lines(pairs))
        print(f"{len(pairs):>5} pairs  {path}")


if __name__ == "__main__":
    main()
