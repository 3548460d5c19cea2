"""The manifest: its schema is published, its text is stable, and what it does not know it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from edgepack.bundle.manifest import FileEntry, Manifest, SourceEntry

PUBLISHED = Path(__file__).parents[2] / "docs/manifest.schema.json"
SMALLEST = {
    "name": "it", "version": "1.0", "target": "fake", "precision": "int8", "artifact": ["model.json"],
    "source": {"name": "m.py:build", "sha256": "0" * 64}, "inputs": [], "outputs": [],
    "audit": {
        "ops_total": 0, "ops_by_precision": {}, "tensors_by_dtype": {}, "bytes_by_dtype": {}, "float_islands": [],
        "full_int8": True,
    },
    "gate": {"expression": "sqnr_db>=20", "passed": True}, "parity": {}, "golden": {"measured": 1, "shipped": 1},
    "command": "edgepack build", "toolchain": {},
}  # fmt: skip


def test_the_published_schema_is_that_of_the_code() -> None:
    """Write it anew with: json.dumps(Manifest.model_json_schema(), indent=2) + "\\n"."""
    assert PUBLISHED.read_text() == json.dumps(Manifest.model_json_schema(), indent=2) + "\n"


def test_the_published_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(PUBLISHED.read_text()))


def test_the_text_comes_back_as_the_same_manifest() -> None:
    manifest = Manifest.model_validate(SMALLEST)
    text = manifest.to_json()
    assert text.endswith("}\n")
    assert Manifest.model_validate_json(text) == manifest
    assert Manifest.model_validate_json(text).to_json() == text
    jsonschema.validate(json.loads(text), json.loads(PUBLISHED.read_text()))


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"name": "../up"},
        {"name": "a/b"},
        {"name": ""},
        {"version": "1 0"},
        {"surprise": 1},
        {"source": {"name": "m", "sha256": "short"}},
        {"golden": {"measured": "many", "shipped": 1}},
    ],
    ids=str,
)
def test_code_and_schema_refuse_the_same(change: dict[str, object]) -> None:
    document = {**SMALLEST, **change}
    with pytest.raises(ValidationError):
        Manifest.model_validate(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json.loads(PUBLISHED.read_text()))


def test_a_bundle_is_named_after_what_it_is() -> None:
    assert Manifest.model_validate(SMALLEST).bundle_name == "it-1.0-fake-int8"


def test_a_manifest_does_not_change() -> None:
    with pytest.raises(ValidationError):
        Manifest.model_validate(SMALLEST).name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("digest", ["", "G" * 64, "a" * 63, "A" * 64])
def test_a_hash_is_64_lower_case_hex_digits(digest: str) -> None:
    with pytest.raises(ValidationError):
        FileEntry(path="f", sha256=digest, bytes=1)
    assert SourceEntry(name="f", sha256="a" * 64)
