"""What a filter's result depends on besides its settings and the labels."""

from __future__ import annotations

from trimtab.core.component import Component
from trimtab.core.interfaces import HasContentHash


def hash_filter_content(label_filter: Component) -> str:
    """The content hash of a filter that has one, such as that of a source of pairs; otherwise empty."""
    return label_filter.content_hash() if isinstance(label_filter, HasContentHash) else ""
