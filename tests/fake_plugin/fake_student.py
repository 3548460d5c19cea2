"""An edgepack.compress.student.Student of the numpy model: dense layers with tanh behind each."""

from __future__ import annotations

import copy

import numpy as np

from edgepack.compress.recover import Moments
from edgepack.compress.student import Group, Hold, Layer


class NumpyStudent:
    def __init__(self, teacher):
        self.teacher, self.made = teacher, copy.deepcopy(teacher)
        self.biases, self.holds = {}, {}
        self.layers = self._layers()

    def _layers(self):
        return tuple(Layer(name, "linear", w.T.shape, False, 1) for name, w in self.made.weights.items())

    def teach(self, inputs):
        return self.teacher(inputs)

    def weight(self, name):
        return self.made.weights[name].T.copy()

    def change(self, name, weight, shift=None):
        assert shift is None
        self.made.weights[name] = np.ascontiguousarray(weight.T, np.float32)

    def _inputs(self, model, sample):
        (x,) = (array.astype(np.float64).reshape(1, -1) for array in sample.values())
        fed = {}
        for name, weight in model.weights.items():
            fed[name], x = x, np.tanh(x @ weight)
        return fed, x

    def moments(self, names, samples):
        pairs = [(self._inputs(self.made, each)[0], self._inputs(self.teacher, each)[0]) for each in samples]
        found = {}
        for name in names:
            own, taught = (np.concatenate([pair[which][name] for pair in pairs]) for which in (0, 1))
            count = len(own)
            found[name] = Moments(
                own.T @ own / count, taught.T @ own / count, own.mean(0), taught.mean(0), count
            )
        return found

    def walk(self, names, samples):
        for name in names:
            yield name, self.moments([name], samples)[name]

    def __call__(self, inputs):
        return self.made(inputs)

    def hold(self, holds):
        self.holds = dict(holds)

    def release(self):
        self.holds = {}

    def learn(self, batch, rate):
        loss = 0.0
        for sample in batch:
            fed, y = self._inputs(self.made, sample)
            error = y - self._inputs(self.teacher, sample)[1]
            loss += float(np.mean(error**2))
            gradient = error * (1 - y**2)
            for name in reversed(list(self.made.weights)):
                weight, hold = self.made.weights[name], self.holds.get(name, Hold())
                behind = gradient @ weight.T * (1 - fed[name] ** 2)
                if hold.codes is None:
                    step = fed[name].T @ gradient
                    weight -= (rate * (step if hold.mask is None else step * hold.mask.T)).astype(np.float32)
                gradient = behind
        return loss / len(batch)

    def save(self, path):
        with open(path, "wb") as file:
            np.savez(file, **self.made.weights)

    def restore(self, path):
        with np.load(path) as state:
            self.made.weights = {name: state[name] for name in state.files}

    def groups(self):
        channels = np.arange(16)[:, None]
        return (Group({"hidden": channels}, {"scores": channels}),)

    def slim(self, gone):
        for group, channels in gone.items():
            for name, rows in group.rows.items():
                self.made.weights[name] = np.delete(self.made.weights[name], rows[channels], axis=1)
            for name, columns in group.columns.items():
                self.made.weights[name] = np.delete(self.made.weights[name], columns[channels], axis=0)
        self.layers = self._layers()

    def model(self):
        return self.made
