"""Makes the README's relative links absolute: `python tools/readme_links.py REPOSITORY-URL TAG`. Needs no package.

The page of the package index is the README alone. The release workflow runs this before it builds, in its own checkout.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
_IMAGE = re.compile(r"(!\[[^\]]*\]\()(?![a-z]+:|#)([^)\s]+\))")
_LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)\s]+\))")


def make_links_absolute(text: str, repository: str, tag: str) -> str:
    """Links lead to the page of a file in the repository at the tag, images to its contents."""
    text = _IMAGE.sub(rf"\g<1>{repository}/raw/{tag}/\g<2>", text)
    return _LINK.sub(rf"\g<1>{repository}/blob/{tag}/\g<2>", text)


def main(repository: str, tag: str) -> None:
    text = README.read_text(encoding="utf-8")
    README.write_text(make_links_absolute(text, repository.rstrip("/"), tag), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
