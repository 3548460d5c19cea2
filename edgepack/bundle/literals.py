"""String literals and identifiers for the kit's languages, of names and labels that a model supplied: any text."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable

import numpy as np

# Kotlin's and Swift's; what is a keyword in one is avoided in both, so that the two kits have the same names.
KEYWORDS = """
as break class continue do else false for fun if in interface is null object package return super this throw true try
typealias typeof val var when while any associatedtype await case catch default defer deinit enum extension fallthrough
fileprivate func guard import init inout internal let nil open operator precedencegroup private protocol public repeat
rethrows self static struct subscript switch throws where
"""


def identifiers(names: Iterable[str]) -> list[str]:
    """A valid camelCase identifier for every name, distinct in more than case."""
    made: list[str] = []
    for name in names:
        head, *rest = re.findall(r"[A-Za-z0-9]+", name) or ["tensor"]
        first = head.lower() if head.isupper() else head[0].lower() + head[1:]
        base = first + "".join(word[0].upper() + word[1:] for word in rest)
        base = f"tensor{base}" if base[0].isdigit() else base
        base = f"{base}_" if base.lower() in KEYWORDS.split() else base
        taken = {each.lower() for each in made}
        free = (base if count == 1 else f"{base}{count}" for count in itertools.count(1))
        made.append(next(candidate for candidate in free if candidate.lower() not in taken))
    return made


def python(text: str) -> str:
    return _literal(text, '"\\', lambda char: f"\\U{ord(char):08x}")


def kotlin(text: str) -> str:
    def escape(char: str) -> str:
        units = np.frombuffer(char.encode("utf-16-le", "replace"), "<u2")
        return "".join(f"\\u{unit:04x}" for unit in units)

    return _literal(text, '"\\$', escape)


def swift(text: str) -> str:
    return _literal(text, '"\\', lambda char: f"\\u{{{ord(char):x}}}")


def cpp(text: str) -> str:
    """UTF-8. Octal escapes, as these end after three digits; ``?`` may begin a trigraph."""
    return _literal(
        text, '"\\?', lambda char: "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "replace"))
    )


def _literal(text: str, special: str, escape: Callable[[str], str]) -> str:
    """Between quotes, with everything escaped that is special or cannot be seen (a bidirectional override, say)."""
    body = "".join(escape(char) if char in special or not char.isprintable() else char for char in text)
    return f'"{body}"'
