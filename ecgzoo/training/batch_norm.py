"""Batch normalization in several processes: statistics of the whole batch, also on CPUs, or of each process's share.

``synchronized``: one process with batch 64 and two with 32 take the same steps, but each layer waits twice for all
processes. torch has this for GPUs only. ``per-process``: no layer waits; the statistics come from fewer records, and
the running statistics are averaged over the processes before each evaluation, as ``--dist-bn reduce`` of timm does.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ecgzoo.errors import RecipeError


class _Normalize(torch.autograd.Function):
    """Batch norm with given statistics ``[C]``, which depend on the records of all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, mean, var, weight)
        ctx.eps = eps
        return F.batch_norm(x, mean, var, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        # dx = w/σ · (dy − mean(dy) − x̂ · mean(dy · x̂)), with means over the records of all processes
        (grad,) = grads
        x, mean, var, weight = ctx.saved_tensors
        # as if the statistics were constants: w/σ · dy, Σ dy · x̂ and Σ dy of this process
        grad_x, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([grad_weight, grad_bias])
        dist.all_reduce(sums)
        count = x.numel() // x.shape[1] * dist.get_world_size()
        slope, offset = sums * weight * torch.rsqrt(var + ctx.eps) / count
        grad_x -= F.batch_norm(x, mean, var, slope, offset, eps=ctx.eps)  # slope · x̂ + offset
        return grad_x, None, None, grad_weight, grad_bias, None


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm with training statistics of all processes, which must have the same number of records."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # ``[B, C, ...]`` of any dimension

    def forward(self, x: Tensor) -> Tensor:
        """Normalized ``[B, C, …]``."""
        if not self.training:
            plain: Tensor = super().forward(x)
            return plain
        with torch.no_grad():
            own = torch.zeros(2, x.shape[1], device=x.device)  # in float32, so that the kernel answers in it
            own[:] = torch.stack(torch.batch_norm_update_stats(x, own[0], own[1], 0.0))
            every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
            dist.all_gather(every, own)
            means, variances = torch.stack(every, dim=1)  # [processes, C]
            mean = means.mean(0)
            var = (variances + (means - mean).square()).mean(0)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
            if self.running_mean is not None and self.running_var is not None:
                count = x.numel() // x.shape[1] * len(every)
                momentum = self.momentum  # None: the mean of all batches
                if momentum is None:
                    assert self.num_batches_tracked is not None  # it is there if running_mean is
                    momentum = 1 / int(self.num_batches_tracked)
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(var * count / max(count - 1, 1), momentum)
        weight = mean.new_ones(len(mean)) if self.weight is None else self.weight
        bias = mean.new_zeros(len(mean)) if self.bias is None else self.bias
        out: Tensor = _Normalize.apply(x, mean, var, weight, bias, self.eps)
        return out


class SyncBatchNormAct(SyncBatchNorm):
    """timm's ``BatchNormAct2d``, which includes dropout and activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """Normalized and activated ``[B, C, …]``."""
        out: Tensor = self.act(self.drop(super().forward(x)))
        return out


def check_synchronizable(module: nn.Module) -> None:
    """Check that `synchronize` knows every batch norm in `module`: one of another class may do more than normalize.

    Raises:
        RecipeError: it does not know one.
    """
    from timm.layers import BatchNormAct2d

    known = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, BatchNormAct2d)
    for name, child in module.named_modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and type(child) not in known:
            raise RecipeError(
                f"{name} is a {type(child).__name__}, which cannot take its statistics from several processes; "
                "expected a batch norm of torch or timm. Use --batch-norm per-process, or one process"
            )


def synchronize(module: nn.Module, device: torch.device) -> None:
    """Let every batch norm in `module` use the statistics of all processes; on a GPU, with the classes of torch, timm.

    Raises:
        RecipeError: see `check_synchronizable`.
    """
    from timm.layers import BatchNormAct2d, convert_sync_batchnorm

    check_synchronizable(module)
    norms = [
        (parent, name, child, SyncBatchNormAct if isinstance(child, BatchNormAct2d) else SyncBatchNorm)
        for parent in module.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.modules.batchnorm._BatchNorm)
    ]
    for parent, name, child, kind in norms:
        if device.type == "cuda":
            setattr(parent, name, convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]
        else:  # same parameters and buffers, another forward
            child.__class__ = kind


@torch.no_grad()
def average_statistics(modules: Iterable[nn.Module]) -> None:
    """Replace the running statistics of every batch norm in `modules` by their mean over all processes."""
    running = [
        tensor
        for module in modules
        for norm in module.modules()
        if isinstance(norm, nn.modules.batchnorm._BatchNorm)
        for tensor in (norm.running_mean, norm.running_var)
        if tensor is not None
    ]
    if not running:
        return
    mean = torch.cat(running)
    dist.all_reduce(mean)
    mean /= dist.get_world_size()
    for tensor, averaged in zip(running, mean.split([len(tensor) for tensor in running]), strict=True):
        tensor.copy_(averaged)
