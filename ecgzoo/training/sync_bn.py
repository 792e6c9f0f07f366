"""Batch normalization over the batch of all processes, also on CPUs, which torch does not support.

With it, one process with batch 64 and two with 32 take the same steps.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone()
        dist.all_reduce(total)
        return total


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm with training statistics of all processes, which must have the same number of records."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # ``[B, C, ...]`` of any dimension

    def forward(self, x: Tensor) -> Tensor:
        """Normalized ``[B, C, …]``."""
        if not self.training:
            plain: Tensor = super().forward(x)
            return plain
        dtype, x = x.dtype, x.float()  # sums over many records do not fit half precision
        dims = [dim for dim in range(x.ndim) if dim != 1]
        shape = [-1 if dim == 1 else 1 for dim in range(x.ndim)]
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = _SumOverProcesses.apply(x.sum(dims)) / count
        centred = x - mean.view(shape)
        variance = _SumOverProcesses.apply(centred.square().sum(dims)) / count
        with torch.no_grad():
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
            if self.running_mean is not None and self.running_var is not None:
                momentum = 0.1 if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(variance * count / max(count - 1, 1), momentum)
        out: Tensor = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.weight is not None:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(dtype)


def synchronize(module: nn.Module, device: torch.device) -> None:
    """Let every batch norm in `module` use the statistics of all processes; on a GPU, with torch's own class."""
    for name, child in module.named_children():
        if not isinstance(child, nn.modules.batchnorm._BatchNorm):
            synchronize(child, device)
        elif device.type == "cuda":
            setattr(module, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))
        else:
            child.__class__ = SyncBatchNorm  # same parameters and buffers, another forward
