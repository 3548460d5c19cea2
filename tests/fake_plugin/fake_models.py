"""Sources for the tests: factories, good and bad, and generators of samples."""

from __future__ import annotations

import os
import time

import numpy as np

from edgepack.spec import Signature, TensorSpec


class Dense:
    """An edgepack.model.Model: dense layers with tanh behind each."""

    name = "dense"
    forms = frozenset({"numpy"})
    scalings: dict = {}
    processing = ()
    notes = ("made of numpy",)

    def __init__(self, input_name: str, shape: tuple[int, ...], classes: int = 3) -> None:
        self.signature = Signature(
            (TensorSpec(input_name, shape, "float32"),), (TensorSpec("scores", (1, classes), "float32"),)
        )
        rng, size = np.random.default_rng(0), int(np.prod(shape))
        self.weights = {
            "hidden": rng.normal(0, size**-0.5, (size, 16)).astype(np.float32),
            "scores": rng.normal(0, 0.2, (16, classes)).astype(np.float32),
        }

    def __call__(self, inputs):
        (x,) = (array.astype(np.float32).reshape(1, -1) for array in inputs.values())
        for weight in self.weights.values():
            x = np.tanh(x @ weight)
        return {"scores": x}

    def form(self, name: str):
        return {"numpy": self.weights}[name]


class Broken(Dense):
    """Its numpy form is not what it computes."""

    def form(self, name: str):
        return {**super().form(name), "scores": -self.weights["scores"]}


class Counted(Dense):
    """Writes a line into asked.txt whenever it is asked."""

    def __call__(self, inputs):
        with open("asked.txt", "a") as file:
            file.write("asked\n")
        return super().__call__(inputs)


class Shaped(Dense):
    """A class that has all that a model has, and is none itself."""

    signature = Signature((), ())


class Overflows(Dense):
    """A network fed with what it was not trained on."""

    def __call__(self, inputs):
        return {"scores": np.full((1, 3), np.nan, np.float32)}


def overflows():
    return Overflows("x", (1, 4))


def build():
    return Dense("x", (1, 4))


def counted():
    return Counted("x", (1, 4))


def broken():
    return Broken("x", (1, 4))


def photo():
    return Dense("image", (1, 8, 6, 3))


def noisy():
    print("from the user's code")
    return build()


def slow():
    time.sleep(60)
    return build()


def waiting():
    """Until there is a file go.txt."""
    while not os.path.exists("go.txt"):
        time.sleep(0.02)
    return build()


def slow_again():
    """Quick when it is first loaded, slow ever after."""
    if os.path.exists("loaded.txt"):
        time.sleep(60)
    open("loaded.txt", "w").close()
    return build()


def raises():
    return {}["no such key"]


def exits():
    raise SystemExit(7)


def dies():
    os._exit(7)


def nothing():
    return None


def a_class():
    return Shaped


def a_number():
    return 3.5


def samples():
    rng = np.random.default_rng(1)
    for _ in range(40):
        yield {"x": rng.normal(size=4).astype(np.float32)}


def samples_then_crash():
    yield {"x": np.zeros(4, np.float32)}
    yield {"x": np.ones(5)[9]}


NOT_A_FUNCTION = 3


class Taught(Dense):
    """One that can be made smaller."""

    def student(self):
        from fake_student import NumpyStudent

        return NumpyStudent(self)


def taught():
    return Taught("x", (1, 12))


def retaught():
    """Other weights, by the same code."""
    model = taught()
    model.weights["scores"] = model.weights["scores"][:, ::-1].copy()
    return model


def many():
    rng = np.random.default_rng(2)
    for _ in range(120):
        yield {"x": rng.normal(size=12).astype(np.float32)}


class Constant(Taught):
    """Answers the same to everything."""

    def __call__(self, inputs):
        return {"scores": np.ones((1, 3), np.float32)}


def constant():
    return Constant("x", (1, 12))


class TurnsNan(Taught):
    """Learns nothing but NaN."""

    def student(self):
        student = super().student()
        student.learn = lambda batch, rate: float("nan")
        return student


def turns_nan():
    return TurnsNan("x", (1, 12))


def few():
    yield from list(many())[:12]
