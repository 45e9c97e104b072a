"""The origins of rows are the same when they are read."""

from __future__ import annotations

from trimtab.data.parsing.row_origins import RowOrigins
from trimtab.types import RowOrigin


def test_origins_are_read_as_they_were_written() -> None:
    written = [
        RowOrigin(pair_id="p0", file="a.jsonl", row=2**40, first="a", columns=("chosen", "rejected")),
        None,
        RowOrigin(pair_id="p2", file="b.jsonl", row=1, first="b", models=("one", "two")),
        RowOrigin(pair_id="p3", file="a.jsonl", row=7, first="a", columns=("chosen", "rejected")),
    ]
    origins = RowOrigins()
    for origin in written:
        origins.append(origin)
    assert origins.list_rows().tolist() == [True, False, True, True]
    assert [origins.read(position, f"p{position}") for position in (0, 2, 3)] == [written[0], written[2], written[3]]
    assert [origins.read_place(position) for position in range(3)] == [("a.jsonl", 2**40), ("", 0), ("b.jsonl", 1)]
