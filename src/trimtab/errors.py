"""The errors that Trimtab raises. Each is also a standard library type, so `except ValueError` works."""


class TrimtabError(Exception):
    """Base class: the command line prints its message without a traceback."""


class StudyError(TrimtabError, ValueError):
    """A study or a setting is invalid: the message gives the location, what was found and what was expected."""


class DataError(TrimtabError, ValueError):
    """A source cannot be read, or its contents are not usable as pairs."""


class NoLabelsError(DataError):
    """No label of an arm prefers a response, for example because its filter drops all of them. A study continues without the
    arm."""


class ModelError(TrimtabError, OSError):
    """A model's weights cannot be found, downloaded or trusted."""


class ToolCallError(ModelError):
    """A model's chat template cannot render a conversation's tool calls or reasoning. Such pairs are left out and counted."""


class EngineError(TrimtabError, ConnectionError):
    """A language model is unavailable: no server, a wrong key, an unknown model."""


class StoreError(TrimtabError, RuntimeError):
    """The run folder is in use by another run, damaged, or on a full disk."""


class ClusterError(TrimtabError, ConnectionError):
    """A Ray cluster cannot be reached, has no room for a worker, or has a node that cannot take part in a run."""


class TrainingError(TrimtabError, ArithmeticError):
    """Training cannot continue: the loss is not a number, or policy and reference differ before the first step."""


class HubError(TrimtabError, ConnectionError):
    """The Hugging Face Hub refuses an upload or does not answer, or there is no token for it."""
