"""Reads malformed rows of every format and plans mutated studies. An error that is not one of Trimtab's is a traceback.

    python tools/fuzzing.py [--rows 10000] [--studies 1000] [--seed 0]

The rows and mutations are those of tests/data/test_malformed_rows.py and tests/config/test_mutated_studies.py, in larger
numbers. Prints the counts and the peak memory.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "config"), str(TESTS / "data")]

from test_malformed_rows import SETTINGS, check_malformed_rows
from test_mutated_studies import mutate

from trimtab.config.study import Study
from trimtab.errors import TrimtabError
from trimtab.pipeline.plan import build_plan

FORMATS = 4
ROWS_PER_FILE = 250
# Characters of an error message.
MAX_MESSAGE = 6000


def count_mutated_studies(count: int, seed: int) -> tuple[int, int]:
    """How many mutated studies can be planned, and how many are refused."""
    chooser, valid = random.Random(seed), 0
    for _ in range(count):
        try:
            build_plan(Study.parse(mutate(chooser)))
            valid += 1
        except TrimtabError as error:
            if not 0 < len(str(error)) < MAX_MESSAGE:
                raise
    return valid, count - valid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("rows", 10_000), ("studies", 1_000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=count)
    options = parser.parse_args()
    files = max(1, options.rows // FORMATS // ROWS_PER_FILE)
    for number in range(files):
        with tempfile.TemporaryDirectory() as folder:
            check_malformed_rows(Path(folder), options.seed + number, ROWS_PER_FILE)
    print(
        f"{files * ROWS_PER_FILE * FORMATS:,} rows in {files * FORMATS} files, each read with {len(SETTINGS)} settings: every "
        "row is a pair or a counted failure"
    )
    valid, refused = count_mutated_studies(options.studies, options.seed)
    print(f"{options.studies:,} mutated studies: {valid} can be planned, {refused} are refused with a message")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MB")


if __name__ == "__main__":
    main()
