"""A bundle's gate, held against what a device answered to the golden vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..bundle.manifest import Manifest
from ..parity import Gate, Metrics, Threshold, parse_gate

SLACK = {"sqnr_db": 1.0, "cosine": 1e-3}
"""The build met the gate on all held-back samples together; on the few of them that travel, a little less is no fault."""

BELOW = 3.0
"""How much less SQNR than on the building machine, in dB, is the same to a gate of task metrics alone."""


def failures(manifest: Manifest, outputs: Mapping[str, Metrics]) -> tuple[str, ...]:
    """A sentence for every threshold that is not met; empty when the gate is passed."""
    few = manifest.golden.shipped < manifest.golden.measured
    found: dict[str, None] = {}  # each once, in order
    for name, metrics in outputs.items():
        own = {name: metrics}
        found |= dict.fromkeys(Gate(()).failures(own))
        for threshold in _asked(manifest, name):
            slack = _slack(threshold, manifest.golden.shipped) if few else 0.0
            eased = threshold.value + (slack if "<" in threshold.comparison else -slack)
            if Gate((replace(threshold, value=eased),)).failures(own):
                found |= dict.fromkeys(Gate((threshold,)).failures(own))
    return tuple(found)


def _asked(manifest: Manifest, output: str) -> tuple[Threshold, ...]:
    """What the build asked of an output; all of the gate, where the manifest does not tell.

    A gate of task metrics alone, which golden vectors cannot tell, has let these answers pass: no worse ones will do.
    """
    gate, here = manifest.gate, manifest.parity.get("host")
    if manifest.metrics and not any(gate.asked.values()) and here and output in here.outputs:
        return (Threshold("sqnr_db", ">=", here.outputs[output].sqnr_db - BELOW),)
    asked = gate.asked.get(output, (gate.expression,))
    return parse_gate(", ".join(asked)).thresholds if asked else ()


def _slack(threshold: Threshold, samples: int) -> float:
    return 1 / samples if threshold.metric == "argmax_agreement" else SLACK.get(threshold.metric, 0.0)
