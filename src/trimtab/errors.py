"""The few errors that Trimtab raises. Each is also a standard library type, so `except ValueError` keeps working."""


class TrimtabError(Exception):
    """The common base: the command line prints its message without a traceback."""


class StudyError(TrimtabError, ValueError):
    """A study or a setting is wrong: the message names the place, what was found and what would be right."""


class DataError(TrimtabError, ValueError):
    """A source cannot be read, or what it holds cannot make pairs."""


class ModelError(TrimtabError, OSError):
    """A model's weights cannot be found, fetched or trusted."""


class EngineError(TrimtabError, ConnectionError):
    """A language model cannot be asked at all: no server, a wrong key, a model that is not there."""


class StoreError(TrimtabError, RuntimeError):
    """The run folder is held by another run, damaged, or full."""


class TrainingError(TrimtabError, ArithmeticError):
    """Training cannot go on: the loss is not a number, or policy and reference disagree before the first step."""
