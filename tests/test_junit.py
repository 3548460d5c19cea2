"""``--junit``: a document that every CI service reads, and that says what the exit code says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_bundle import manifest

from edgepack import junit
from edgepack.bundle.reader import Bundle
from edgepack.devices.replay import BackendResult, DeviceResult
from edgepack.devices.trace import Trace
from edgepack.devices.twin import EXACT, Beside
from edgepack.errors import UsageError
from edgepack.parity import Metrics

BUNDLE = Bundle(Path("it"), manifest())
GOOD, BAD = Metrics(40, 0.01, 0.999, 1.0), Metrics(5, 0.9, 0.5, None)
MISSED = "z: sqnr_db is 5, not >= 20"


def device(*backends: BackendResult, name: str = "host") -> DeviceResult:
    return DeviceResult(name, backends)


def rendered(*results: DeviceResult) -> Element:
    root = ElementTree.fromstring(junit.render(BUNDLE, results))
    check(root)
    return root


def check(root: Element) -> None:
    """What the schemas of Jenkins, GitLab and Ant have in common."""
    inside = {
        "testsuites": ["testsuite"],
        "testsuite": ["properties", "testcase"],
        "properties": ["property"],
    }
    inside["testcase"] = ["skipped", "error", "failure"]
    needed = {
        "testsuite": {"name", "tests", "failures", "errors", "skipped"},
        "testcase": {"name", "classname"},
    }
    needed |= {"property": {"name", "value"}, "failure": {"message"}, "error": {"message"}}
    assert root.tag == "testsuites"
    for element in root.iter():
        allowed = inside.get(element.tag, [])
        places = [allowed.index(child.tag) for child in element]
        assert places == sorted(places)
        assert needed.get(element.tag, set()) <= set(element.keys())
    for suite in (root, *root):
        for count, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            assert int(suite.get(count, "")) == len(list(suite.iter(tag)))
    for case in root.iter("testcase"):
        assert len(case) <= 1


def cases(root: Element) -> list[tuple[str, str, list[str]]]:
    return [
        (str(case.get("classname")), str(case.get("name")), [child.tag for child in case])
        for case in root.iter("testcase")
    ]


def test_a_device_is_a_suite_and_a_backend_and_output_a_case() -> None:
    both = {"y": GOOD, "z": BAD}
    root = rendered(
        device(
            BackendResult("wasm", 3, both, failures=(MISSED,)),
            BackendResult("webgl", 3, {"y": GOOD}),
            name="chrome",
        ),
        device(BackendResult("", 3, {"y": GOOD})),
    )
    assert [suite.get("name") for suite in root] == ["chrome", "host"]
    assert cases(root) == [
        ("it-1.0-fake-int8.chrome.wasm", "y", []),
        ("it-1.0-fake-int8.chrome.wasm", "z", ["failure"]),
        ("it-1.0-fake-int8.chrome.webgl", "y", []),
        ("it-1.0-fake-int8.host", "y", []),
    ]
    (failure,) = root.iter("failure")
    assert (failure.get("message"), failure.text) == (MISSED, MISSED)


def test_the_suite_tells_the_bundle_and_what_was_measured() -> None:
    (suite,) = rendered(device(BackendResult("wasm", 3, {"y": GOOD, "z": BAD})))
    told = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert told["bundle"] == "it-1.0-fake-int8"
    assert told["gate"] == "sqnr_db>=20"
    assert told["wasm/y/sqnr_db"] == "40"
    assert told["wasm/y/argmax_agreement"] == "1"
    assert "wasm/z/argmax_agreement" not in told


def test_what_differs_from_this_machine_is_told_of_its_output_with_the_layer_to_blame() -> None:
    beside = Beside("z", EXACT, max_abs=0.25, sample=1, index=(0, 2), device=1.0, twin=0.75)
    result = BackendResult(
        "", 3, {"y": GOOD, "z": GOOD}, {"z": beside}, (str(beside),), facts={"arena": "9 kB"},
        trace=Trace("conv", "The first layer that differs is conv."),
    )  # fmt: skip
    root = rendered(device(result))
    assert [found for _, _, found in cases(root)] == [[], ["failure"]]
    (failure,) = root.iter("failure")
    assert failure.get("message") == str(beside)
    assert failure.text == f"{beside}\nThe first layer that differs is conv."
    told = {each.get("name"): each.get("value") for each in root.iter("property")}
    assert (told["z/beside_here_max_abs"], told["arena"]) == ("0.25", "9 kB")


def test_there_are_no_times() -> None:
    assert b"time" not in junit.render(BUNDLE, [device(BackendResult("", 3, {"y": GOOD}))])


@pytest.mark.parametrize(
    ("backends", "kinds"),
    [
        ((BackendResult("webgpu", error="no kernel"),), [["error"]]),
        ((BackendResult("wasm", 3, {"y": GOOD}), BackendResult("webgpu", error="no kernel")), [[], ["skipped"]]),
        ((BackendResult("wasm", 3, failures=("there is no output 'y'",)),), [["failure"]]),
        ((BackendResult("wasm", 3, {"y": GOOD}, failures=("differs from its twin",)),), [[], ["failure"]]),
        ((BackendResult("wasm", 3, {"z": BAD}, failures=(MISSED, "differs from its twin")),), [["failure"], ["failure"]]),
    ],
)  # fmt: skip
def test_it_is_red_where_the_device_did_not_pass(
    backends: Sequence[BackendResult], kinds: list[list[str]]
) -> None:
    result = device(*backends)
    root = rendered(result)
    assert [found for _, _, found in cases(root)] == kinds
    red = int(root.get("failures", "")) + int(root.get("errors", ""))
    assert result.passed == (red == 0)


@given(st.text(), st.text(), st.text(), st.lists(st.text(), max_size=3))
def test_any_text_is_text(name: str, backend: str, details: str, failures: list[str]) -> None:
    """Names and reasons come from bundles of strangers, and from browsers."""
    root = rendered(
        device(
            BackendResult(backend, 3, {name: BAD}, failures=tuple(failures), details=details),
            BackendResult(backend, error=f"it said {details}", details=details),
            name=name,
        )
    )
    assert [each.get("name") for each in root.iter("testsuite")] == [junit.NOT_XML.sub("\ufffd", name)]


def test_markup_and_control_characters_are_no_markup() -> None:
    evil = "]]></failure><script>&amp;\"'\x00\x1b[2J\ud800\uffff\n\r\t"
    (error,) = rendered(device(BackendResult("", error=evil))).iter("error")
    assert error.get("message") == evil.translate(
        {0: "\ufffd", 0x1B: "\ufffd", 0xD800: "\ufffd", 0xFFFF: "\ufffd"}
    )


def test_the_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "reports/it.xml"
    junit.write(path, BUNDLE, [device(BackendResult("", 3, {"y": GOOD}))])
    before = path.read_bytes()

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(junit, "render", full)
    with pytest.raises(UsageError, match=r"it.xml cannot be written: No space left"):
        junit.write(path, BUNDLE, [])
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["it.xml"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for act in (junit.remove, lambda path: junit.write(path, BUNDLE, [])):
        with pytest.raises(UsageError, match="cannot be written"):
            act(tmp_path / "file/it.xml")
