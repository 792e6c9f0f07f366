"""CLT: contrastive lead-information transferring (MVKT-ECG, arXiv 2301.12178; based on CRD, arXiv 1910.10699).

Two linear heads embed student and teacher on the unit sphere, ``z_s = norm(W_s f_s)`` and ``z_t = norm(W_t f_t)``.
Anchor z_s is compared with the bank M_t, anchor z_t with the bank M_s; the loss is the sum of the two terms
(docs/method.md §3). The positive is the same record in the other bank, the negatives are the records that share no
diagnosis with the anchor.

    nce:      ℓ = ⟨z, m⟩/τ − log Z − log(K/N);   softplus(−ℓ⁺) + Σ_neg softplus(ℓ⁻)
    infonce:  ℓ = ⟨z, m⟩/τ;                      logsumexp([ℓ⁺, ℓ⁻]) − ℓ⁺

K is the actual number of negatives of the row, N the number of training records, and Z = N · mean exp⟨z, m⟩/τ. Z is
estimated from a batch and then averaged, always in log space because exp(1/0.07) overflows half precision. If the
networks run in bfloat16, the two products with the bank do too, since they are most of the work; sums are in float32.
"""

import math
from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgzoo.errors import RecipeError
from ecgzoo.losses.bank import SHARE_LIMIT, MemoryBank, gather_rows
from ecgzoo.losses.contract import Batch, DataInfo, Loss, ModelInfo, View


class CLT(Loss):
    """Disease-aware contrastive loss between student and teacher embeddings, over the whole memory bank.

    Args:
        student: the network that learns.
        teacher: the network it learns from.
        data: the training records; the bank has one row for each.
        critic: ``nce`` (as in the paper) or ``infonce``.
        dim: dimension of the shared embedding.
        temperature: τ.
        momentum: μ of the average in the bank.
        z_momentum: ρ of ``log Z ← log(ρ·Z + (1−ρ)·Z_batch)``; 1 keeps the first estimate, as the published code does.
        share_limit: only if some records have no labels, so that their labels are the teacher's probabilities: the
            largest expected number of diagnoses that a negative shares with the anchor (`MemoryBank.mask`).
        max_rows: with more records than this, each step draws this many random rows, the same for all its anchors.
        chunk: rows of the bank that are compared at a time, so that scores fit in the CPU cache; only their mask is
            stored for all rows, ``[B, N]``.

    Raises:
        RecipeError: there is no teacher, or an argument is out of range.
    """

    requires = frozenset({"student.embedding", "teacher.embedding", "labels", "index"})
    soft_labels = True
    log_z: Tensor
    step: Tensor

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        data: DataInfo,
        *,
        critic: Literal["nce", "infonce"] = "nce",
        dim: int = 128,
        temperature: float = 0.07,
        momentum: float = 0.5,
        z_momentum: float = 0.99,
        share_limit: float = SHARE_LIMIT,
        max_rows: int = 100_000,
        chunk: int = 4096,
    ) -> None:
        super().__init__(student, teacher, data)
        assert teacher is not None  # checked in the line before
        if critic not in ("nce", "infonce"):
            raise RecipeError(f"clt: critic is {critic!r}; expected 'nce' or 'infonce'")
        if (
            not 0 < temperature < math.inf
            or min(dim, max_rows, chunk) < 1
            or not (0 <= momentum < 1 and 0 <= z_momentum <= 1 and 0 <= share_limit < 1)
        ):
            raise RecipeError(
                f"clt: temperature={temperature}, dim={dim}, max_rows={max_rows}, chunk={chunk}, momentum={momentum}, "
                f"share_limit={share_limit}, z_momentum={z_momentum}; the first four must be positive; momentum and "
                "share_limit in [0, 1), z_momentum in [0, 1]"
            )
        self.critic, self.temperature, self.z_momentum = critic, temperature, z_momentum
        self.max_rows, self.chunk = max_rows, chunk
        self.student_head = nn.Linear(student.head_hidden_size, dim)
        self.teacher_head = nn.Linear(teacher.head_hidden_size, dim)
        self.bank = MemoryBank(data.labels, dim, momentum, share_limit)
        self.register_buffer("log_z", torch.full((2,), math.nan))  # of the two terms; NaN before the first estimate
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self._z_known = False
        self._pending: tuple[Tensor, Tensor, Tensor] | None = None
        self._log_z_batch = torch.full((2,), math.nan)

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The sum of both terms, as mean over anchors; zero for an anchor that has no negatives yet."""
        if self.critic == "nce" and not self._z_known:  # synchronizes with the device, but only until Z is known
            self._z_known = not bool(self.log_z.isnan().any())
        z_s = F.normalize(self.student_head(student.embedding), dim=1)
        z_t = F.normalize(self.teacher_head(teacher.embedding), dim=1)
        rows = self._rows(batch.index.device)
        dtype = torch.bfloat16 if student.computed_in == torch.bfloat16 else z_s.dtype
        mask = self.bank.mask(batch.index, batch.labels.to(dtype), rows)
        count = torch.stack([(part == 0).sum(1) for part in mask.split(self.chunk, dim=1)]).sum(0)  # K
        term_s, log_z_s = self._term(z_s, z_t, self.bank.teacher, batch.index, rows, mask, count, self.log_z[0])
        term_t, log_z_t = self._term(z_t, z_s, self.bank.student, batch.index, rows, mask, count, self.log_z[1])
        if self.training:
            self._pending = (batch.index, z_s.detach(), z_t.detach())
            self._log_z_batch = torch.stack([log_z_s, log_z_t])
        self.extras = {"negatives": count.float().mean()}
        return term_s + term_t

    def _term(
        self,
        z: Tensor,
        other: Tensor,
        bank: Tensor,
        index: Tensor,
        rows: Tensor | slice,
        mask: Tensor,
        count: Tensor,
        log_z: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """One direction: anchors `z` against the `bank` of the other network; and this batch's estimate of log Z."""
        # a record that was not visited yet has no row; its positive is the embedding that the row will get
        positive = torch.where(self.bank.visited[index, None], bank[index], other.detach())
        score_pos = (z * positive).sum(1) / self.temperature  # [B]
        # The bank is constant, so the gradient with respect to z is known and autograd need not store [B, N].
        query, memory = (z.detach() / self.temperature).to(mask.dtype), bank[rows]
        sums: list[Tensor] = []

        if self.critic == "infonce":
            gradients = []
            for part, score in self._scores(query, memory, mask):
                sums.append(_logsumexp(score))
                gradients.append((score.softmax(1).to(part.dtype) @ part).to(z.dtype))
            share = torch.stack(sums).softmax(0)[:, :, None]  # share of each chunk in an anchor's sum
            gradient = (share * torch.stack(gradients)).sum(0)
            sum_neg = _with_gradient(torch.stack(sums).logsumexp(0), z, gradient / self.temperature)
            return (torch.logaddexp(score_pos, sum_neg) - score_pos).mean(), log_z

        if not self._z_known:
            first = [_logsumexp(score) for _, score in self._scores(query, memory, mask)]
            log_z = self._estimate_log_z(score_pos.detach(), first, count).nan_to_num()
        offset = log_z + torch.log(count.clamp(min=1) / len(self.bank.visited))
        value_neg, gradient = torch.zeros_like(score_pos), torch.zeros_like(z)
        for part, score in self._scores(query, memory, mask):
            sums.append(_logsumexp(score))
            score -= offset[:, None]
            value_neg = value_neg + F.softplus(score).sum(1)
            gradient = gradient + score.sigmoid_().to(part.dtype) @ part
        value_neg = _with_gradient(value_neg, z, gradient / self.temperature)
        value = (F.softplus(offset - score_pos) + value_neg) * (count > 0)
        return value.mean(), self._estimate_log_z(score_pos.detach(), sums, count)

    def _scores(self, query: Tensor, memory: Tensor, mask: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """For each chunk, the bank's rows in the precision of `query`, and the masked scores ``[B, chunk]``."""
        for part, part_mask in zip(memory.split(self.chunk), mask.split(self.chunk, dim=1), strict=True):
            part = part.to(query.dtype)
            yield part, torch.addmm(part_mask, query, part.T).to(self.log_z.dtype)

    def _estimate_log_z(self, score_pos: Tensor, sums: list[Tensor], count: Tensor) -> Tensor:
        """log(N · mean exp score) over the scores used by the batches of all processes; NaN if there were none."""
        used = count > 0
        total = torch.logaddexp(score_pos, torch.stack(sums).logsumexp(0)).masked_fill(~used, -math.inf).logsumexp(0)
        total = gather_rows(total[None]).logsumexp(0)
        number = gather_rows(((count + 1) * used).sum()[None]).sum()
        return torch.where(number > 0, total - number.clamp(min=1).log() + math.log(len(self.bank.visited)), math.nan)

    def after_backward(self) -> None:
        """Update the bank with the embeddings of the step, and Z with its estimate."""
        if self._pending is None:
            return
        self.bank.update(*self._pending)
        self._pending = None
        self.step += 1
        rho, new = self.z_momentum, self._log_z_batch.to(self.log_z)
        log_rho, log_rest = (math.log(share) if share > 0 else -math.inf for share in (rho, 1 - rho))
        averaged = torch.logaddexp(self.log_z + log_rho, new + log_rest)
        self.log_z.copy_(torch.where(self.log_z.isnan(), new, torch.where(new.isnan(), self.log_z, averaged)))

    def _rows(self, device: torch.device) -> Tensor | slice:
        """All rows, or random rows drawn for this step, the same for every anchor and in every process."""
        if len(self.bank.visited) <= self.max_rows:
            return slice(None)
        generator = torch.Generator().manual_seed(int(self.step))
        return torch.randperm(len(self.bank.visited), generator=generator)[: self.max_rows].to(device)


def _logsumexp(x: Tensor) -> Tensor:
    """``x.logsumexp(1)`` with exp2, because torch's exp on CPUs is ten times slower when it underflows."""
    top = x.amax(1)
    return top + ((x - top[:, None]) * math.log2(math.e)).exp2_().sum(1).log()


def _with_gradient(value: Tensor, z: Tensor, gradient: Tensor) -> Tensor:
    """`value` ``[B]`` as a function of `z` with this `gradient` ``[B, D]``; autograd would store ``[B, N]`` for it."""
    inner = (z * gradient).sum(1)
    return value + inner - inner.detach()
