"""Parses YAML that users write: keys are unique, and size and nesting are limited, so that an error is always one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from trimtab.errors import StudyError

_MAX_CHARACTERS = 200_000
_MAX_NESTING = 40
# Values after aliases such as `*name` are expanded: nine lines of aliases can expand to billions of values.
_MAX_VALUES = 50_000


def parse_yaml(text: str, location: str) -> Any:
    """Parses one YAML document. Raises `StudyError` with `location`, the line and the reason."""
    if len(text) > _MAX_CHARACTERS:
        raise StudyError(f"{location}: {len(text):,} characters of YAML, expected at most {_MAX_CHARACTERS:,}")
    loader: yaml.SafeLoader | None = None
    try:
        _require_shallow(text)
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _NodeChecker().check(node)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise StudyError(f"{location}: invalid YAML: {_format_error(error)}") from error
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise StudyError(f"{location}: invalid YAML: {_one_line(error)}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _require_shallow(text: str) -> None:
    """Counts the nesting before anything recursive reads the text."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_NESTING:
                raise _error(event, f"more than {_MAX_NESTING} levels of nesting")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _NodeChecker:
    """Checks keys, text, and the size and depth of the document with its aliases expanded."""

    def __init__(self) -> None:
        self._size_and_depth: dict[int, tuple[int, int]] = {}

    def check(self, node: yaml.Node, level: int = 0) -> tuple[int, int]:
        """The number of values in the node, and its levels of nesting."""
        if id(node) in self._size_and_depth:
            size, depth = self._size_and_depth[id(node)]
        else:
            size, depth = self._measure(node, level)
            self._size_and_depth[id(node)] = size, depth
        if level + depth > _MAX_NESTING:
            raise _error(node, f"more than {_MAX_NESTING} levels of nesting (an alias may refer to itself)")
        if size > _MAX_VALUES:
            raise _error(node, f"aliases expand to more than {_MAX_VALUES:,} values")
        return size, depth

    def _measure(self, node: yaml.Node, level: int) -> tuple[int, int]:
        if level > _MAX_NESTING:
            raise _error(node, f"more than {_MAX_NESTING} levels of nesting (an alias may refer to itself)")
        if isinstance(node, yaml.ScalarNode):
            _require_valid_text(node)
        if isinstance(node, yaml.MappingNode):
            _require_unique_keys(node)
        parts = [self.check(child, level + 1) for child in _iter_children(node)]
        return 1 + sum(size for size, _ in parts), 1 + max((depth for _, depth in parts), default=0)


def _iter_children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        yield from (child for pair in node.value for child in pair)
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _require_unique_keys(node: yaml.MappingNode) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _error(key, "a key must be text, found a list or a mapping")
        identity = (key.tag, key.value)
        if identity in lines:
            raise _error(
                key,
                f"the key {_one_line(key.value)!r} occurs twice, first in line {lines[identity]}; remove one of them",
            )
        lines[identity] = key.start_mark.line + 1


def _require_valid_text(node: yaml.ScalarNode) -> None:
    try:
        node.value.encode()
    except UnicodeEncodeError:
        raise _error(node, "the text contains half of a character (a lone surrogate)") from None
    if "\0" in node.value:
        raise _error(node, "the text contains a null character")


def _error(at: yaml.Node | yaml.Event, problem: str) -> yaml.MarkedYAMLError:
    mark: Any = at.start_mark
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _format_error(error: yaml.YAMLError) -> str:
    """The problem in one line, with its line number and with what the parser was reading."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return _one_line(error)
    mark = error.problem_mark or error.context_mark
    context = f"{error.context}: " if error.context else ""
    return f"{f'line {mark.line + 1}: ' if mark else ''}{_one_line(f'{context}{error.problem}')}"


def _one_line(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:199]}…"
