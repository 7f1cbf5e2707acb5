"""Weighing: the weight of a pair multiplies what its loss teaches.

TRL's trainers take no weights. Here the gradient that comes back to a pair's two rows of the model's output is multiplied by the
pair's weight, which is the gradient of the weighted mean, (1 / B) sum_i w_i loss_i, for every loss that is a sum over pairs, and
works the same for all of them. The loss that is logged is the plain mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from orbiter.train.tally import Tally
from orbiter_trl.bucketing import BucketingTrainer


def weigh_gradient(output: torch.Tensor, weights: torch.Tensor) -> None:
    """Multiply the gradient that will come back to each row of ``output`` by its weight.

    Args:
        output: (B, ...), of a forward pass.
        weights: (B,)
    """
    if output.requires_grad:
        shape = (-1, *[1] * (output.dim() - 1))
        output.register_hook(
            lambda gradient: gradient * weights.to(gradient.device, gradient.dtype).view(shape)
        )


class WeighingTrainer(BucketingTrainer):
    """Mixed into a trainer of TRL on pairs: takes their weights out of the batch, and counts the tokens that carry loss."""

    tally: Tally
    weighed = "logits"
    """The model's output that the loss is made of, with a row per chosen and then per rejected answer."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        """Compute the loss, as the parent does."""
        inputs = dict(inputs)
        weights = inputs.pop("weight", None)
        if model.training:
            self.tally.token_count += self.count_tokens(inputs)
        called = model if weights is None else self._weighing(model, weights)
        return super().compute_loss(called, inputs, *more, **named)  # type: ignore[misc]

    def count_tokens(self, inputs: dict[str, Any]) -> int:
        """Return how many tokens of a batch carry loss."""
        return int(inputs["completion_mask"].sum())

    def _weighing(self, model: Any, weights: torch.Tensor) -> Callable[..., Any]:
        def forward(*args: Any, **named: Any) -> Any:
            outputs = model(*args, **named)
            weigh_gradient(getattr(outputs, self.weighed), torch.cat([weights, weights]))
            return outputs

        return forward
