"""What can go wrong, as classes: each kind is an exit code, and each error says what to do next."""


class EdgepackError(Exception):
    """An error that a person can act on.

    Args:
        message: what happened and where, in one or two sentences.
        hint: what to do next; a line of its own, indented by two, is a command to copy.
        details: a longer text (a traceback of the user's own code, say) shown below the message.
    """

    exit_code = 5
    kind = "internal"

    def __init__(self, message: str, hint: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __reduce__(self) -> tuple[type["EdgepackError"], tuple[str, str, str]]:
        return type(self), (self.message, self.hint, self.details)


class GateError(EdgepackError):
    """The artifact does not compute what the original computes, within the gate; nothing was shipped."""

    exit_code = 1
    kind = "gate"


class UsageError(EdgepackError):
    """Wrong usage, configuration or data."""

    exit_code = 2
    kind = "usage"


class ModelError(EdgepackError):
    """The model cannot be loaded or converted."""

    exit_code = 3
    kind = "model"


class MissingToolError(EdgepackError):
    """An extra or an external tool is not installed."""

    exit_code = 4
    kind = "missing-tool"


class InternalError(EdgepackError):
    """A fault of edgepack's own."""
