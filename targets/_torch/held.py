"""Weights that keep what training must leave in them, whatever the module does with them."""

from __future__ import annotations

import torch

from edgepack.compress.student import Hold

from .layers import Weight


class Held:
    """A parameter that always shows the nearest allowed values to what is learnt.

    Gradients at what it shows move the shadow, as if they were its own: the straight-through estimator of Bengio et al.,
    Estimating or Propagating Gradients Through Stochastic Neurons, 2013.

    Attributes:
        shadow: what the optimiser moves, shaped like the parameter.
    """

    def __init__(self, parameter: torch.Tensor, weight: Weight, hold: Hold) -> None:
        self._parameter = parameter
        self.shadow = torch.nn.Parameter(parameter.detach().clone())
        self._mask = None if hold.mask is None else weight.stored(hold.mask, parameter)
        self._codes = self._scales = None
        if hold.codes is not None and hold.scales is not None:
            codes = hold.codes if hold.mask is None else hold.codes[hold.codes != 0]
            self._codes = torch.as_tensor(codes, dtype=parameter.dtype)
            self._edges = (self._codes[1:] + self._codes[:-1]) / 2
            ones = torch.ones(weight.layer.shape)
            self._scales = weight.stored((torch.as_tensor(hold.scales) * ones).numpy(), parameter)

    def take_gradient(self) -> None:
        """From the parameter to the shadow, before a step."""
        self.shadow.grad, self._parameter.grad = self._parameter.grad, None

    @torch.no_grad()
    def show(self) -> None:
        """After a step, or when the shadow was restored."""
        shown = self.shadow.detach()
        if self._codes is not None and self._scales is not None:
            shown = self._codes[torch.bucketize(shown / self._scales, self._edges)] * self._scales
        self._parameter.copy_(shown if self._mask is None else shown * self._mask)
