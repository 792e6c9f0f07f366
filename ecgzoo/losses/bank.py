"""CLT's memory bank: for each training record, the momentum average of both its embeddings (docs/method.md §3)."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

SHARE_LIMIT = 0.1  # diagnoses
EXCLUDED = -1e30  # finite, so that an anchor without negatives gives zeros and not NaN


class MemoryBank(nn.Module):
    """Two banks ``M_s, M_t [N, D]`` on the unit sphere, which records have been visited, and the labels of all records.

    A row that was never visited is zero. Every process keeps the whole bank and must apply the same updates. The banks
    and the visited flags are saved in the checkpoint; labels come from the data.

    Args:
        labels: multi-hot ``[N, C]``, or probabilities.
        dim: ``D``.
        momentum: ``μ`` of ``m ← norm(μ·m + (1−μ)·z)``.
        share_limit: see `mask`.
        dtype: of the banks.
    """

    student: Tensor
    teacher: Tensor
    visited: Tensor
    labels: Tensor

    def __init__(
        self,
        labels: Tensor,
        dim: int,
        momentum: float,
        share_limit: float = SHARE_LIMIT,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("student", torch.zeros(len(labels), dim, dtype=dtype))
        self.register_buffer("teacher", torch.zeros(len(labels), dim, dtype=dtype))
        self.register_buffer("visited", torch.zeros(len(labels), dtype=torch.bool))
        self.register_buffer("labels", labels.float(), persistent=False)
        soft = bool(((labels != 0) & (labels != 1)).any())
        self.share_limit = share_limit if soft else 0.0

    def mask(self, index: Tensor, labels: Tensor, rows: Tensor | None) -> Tensor:
        """What to add to the scores of the bank's `rows`: 0 for a negative of the anchor, `EXCLUDED` for the others.

        `rows` are some in ascending order; None for all.

        A negative has been visited and shares *no* diagnosis with the anchor: ``y_a · Yᵀ = 0``. A record without any
        diagnosis shares none even with itself, so the anchor's own row is excluded by its `index` ``[B]``.

        If labels are probabilities, ``p_a · p_b`` is the expected number of shared diagnoses. It is an upper bound of
        the probability of sharing any, ``1 − Π (1 − p_a p_b)``. A record is a negative if it is at most `share_limit`.
        For labels 0 and 1 this is the same rule.

        Returns:
            ``[B, len(rows)]``, with the dtype of `labels` ``[B, C]``.
        """
        shared = labels @ take(self.labels, rows).to(labels.dtype).T
        if self.share_limit:
            shared.sub_(self.share_limit).clamp_(min=0)
        shared += ~take(self.visited, rows)
        if rows is None:
            shared.scatter_(1, index[:, None], 1.0)
        else:
            place = torch.searchsorted(rows, index).clamp_(max=len(rows) - 1)[:, None]
            shared.scatter_(1, place, shared.gather(1, place) + (rows[place] == index[:, None]))
        return shared.mul_(EXCLUDED)

    @torch.no_grad()
    def update(self, index: Tensor, z_student: Tensor, z_teacher: Tensor) -> None:
        """Average embeddings ``[B, D]`` of records `index` ``[B]``, of all processes, into the banks."""
        # a last batch that is padded across processes repeats records: use the first occurrence
        index, inverse = torch.unique(index, return_inverse=True)
        order = torch.arange(len(inverse), device=inverse.device)
        first = torch.full_like(index, len(inverse)).scatter_reduce(0, inverse, order, "amin")
        for bank, z in ((self.student, z_student), (self.teacher, z_teacher)):
            mixed = self.momentum * bank[index].to(z.dtype) + (1 - self.momentum) * z[first]
            bank[index] = F.normalize(mixed, dim=1).to(bank.dtype)
        self.visited[index] = True


def take(tensor: Tensor, rows: Tensor | None) -> Tensor:
    """The `rows` of `tensor`, or all; on CPUs index_select is many times faster than an index."""
    return tensor if rows is None else tensor.index_select(0, rows)


def gather_rows(*tensors: Tensor) -> list[Tensor]:
    """For each tensor, the rows of all processes in rank order, in one collective; each must have the same number."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return list(tensors)
    flat = [tensor.contiguous().view(torch.uint8).flatten() for tensor in tensors]
    mine = torch.cat(flat)
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, mine)
    of_each = zip(*(part.split([len(one) for one in flat]) for part in parts), strict=True)
    return [
        torch.cat(one).view(tensor.dtype).view(-1, *tensor.shape[1:])
        for one, tensor in zip(of_each, tensors, strict=True)
    ]
