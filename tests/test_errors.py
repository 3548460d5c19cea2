"""Errors: a kind is an exit code, and an error crosses from the worker to the parent whole."""

from __future__ import annotations

import pickle

import pytest

from edgepack import errors

KINDS = {
    errors.GateError: (1, "gate"),
    errors.UsageError: (2, "usage"),
    errors.ModelError: (3, "model"),
    errors.MissingToolError: (4, "missing-tool"),
    errors.InternalError: (5, "internal"),
}


def test_every_kind_is_listed_here() -> None:
    assert set(errors.EdgepackError.__subclasses__()) == set(KINDS)


@pytest.mark.parametrize(("kind", "code", "name"), [(kind, *rest) for kind, rest in KINDS.items()])
def test_a_kind_is_an_exit_code(kind: type[errors.EdgepackError], code: int, name: str) -> None:
    assert (kind.exit_code, kind.kind) == (code, name)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling(kind: type[errors.EdgepackError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what", "do this", "trace")))
    assert type(error) is kind
    assert (error.message, error.hint, error.details) == ("what", "do this", "trace")
    assert str(error) == "what"
