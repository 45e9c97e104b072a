"""Cuts the files that studies here read from HH-RLHF: python studies/hh_single_turn.py

Of the training rows of `helpful-base` and `harmless-base` it takes the pairs whose prompt is one turn, and parts them by prompt
into `../shared/data/hh1t_OBJECTIVE_{gt,w2s,test}.jsonl.gz`: to learn from, to be labeled, to test on. The same rows give the
same bytes.
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


def to_json_line(pair: Pair, better: Choice) -> bytes:
    worse = pair.b if better == "a" else pair.a
    told = {"prompt": pair.prompt[0].content, "chosen": pair.response(better), "rejected": worse}
    return json.dumps(told, ensure_ascii=False).encode() + b"\n"


def to_gzip_lines(pairs: Sequence[Pair]) -> bytes:
    """One row a pair, in the order of the pairs, without the time at which it was packed."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as file:
        file.writelines(to_json_line(pair, pair.human) for pair in pairs if pair.human is not None)
    return stream.getvalue()


def load_and_split(dataset: str, objective: str, most: int) -> DataSplits:
    read = Hub(id=dataset, subset=f"{objective}-base").load().pairs
    single = [pair for pair in read if len(pair.prompt) == 1]
    return split_pairs(
        single, SplitSettings(labeled=0.5, test=1 / 3, max_labeled=most, max_unlabeled=most, max_test=most)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--id", default="Anthropic/hh-rlhf", help="the dataset: a hub id, or a folder with its files")
    parser.add_argument("--out", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--most", type=int, default=4000, metavar="N", help="pairs in each file at most")
    asked = parser.parse_args()
    paths = {
        (objective, side): asked.out / f"hh1t_{objective}_{name}.jsonl.gz"
        for objective in ("helpful", "harmless")
        for side, name in FILE_SUFFIXES.items()
    }
    there = [path for path in paths.values() if path.exists()]
    if there:
        raise SystemExit(f"{there[0]} is there already; remove it, or name another folder with --out")
    asked.out.mkdir(parents=True, exist_ok=True)
    sides = {objective: load_and_split(asked.id, objective, asked.most) for objective in ("helpful", "harmless")}
    for (objective, side), path in paths.items():
        pairs = getattr(sides[objective], side)
        path.write_bytes(to_gzip_lines(pairs))
        print(f"{len(pairs):>5} pairs  {path}")


if __name__ == "__main__":
    main()
