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

Up to `max_rows` records this is exact. Above, each step compares with that many random rows of banks in bfloat16.
"""

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgzoo.errors import RecipeError
from ecgzoo.losses.bank import SHARE_LIMIT, MemoryBank, gather_rows, take
from ecgzoo.losses.contract import Batch, DataInfo, Loss, ModelInfo, View

LARGEST_LOGIT = 80.0  # exp(80) fits float32


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
        max_rows: with more records than this, each step draws this many random rows, the same for all its anchors, and
            the banks take half the memory. With the default, a step of the recipe `mvkt` on a CPU takes about 1.5 times
            as long as without this loss (``benchmarks/clt_step.py``), and PTB-XL is compared with all records.
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
        max_rows: int = 18_000,
        chunk: int = 4096,
    ) -> None:
        super().__init__(student, teacher, data)
        assert teacher is not None  # checked in the line before
        if critic not in ("nce", "infonce"):
            raise RecipeError(f"clt: critic is {critic!r}; expected 'nce' or 'infonce'")
        if not all(isinstance(number, int) for number in (dim, max_rows, chunk)):
            raise RecipeError(f"clt: dim={dim}, max_rows={max_rows}, chunk={chunk}; expected whole numbers")
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
        self.max_rows, self.chunk, self.seed = max_rows, chunk, data.seed
        self.student_head = nn.Linear(student.head_hidden_size, dim)
        self.teacher_head = nn.Linear(teacher.head_hidden_size, dim)
        dtype = torch.float32 if len(data.labels) <= max_rows else torch.bfloat16
        self.bank = MemoryBank(data.labels, dim, momentum, share_limit, dtype)
        self.register_buffer("log_z", torch.full((2,), math.nan))  # of the two terms; NaN before the first estimate
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self._z_known = False
        self._pending: tuple[Tensor, ...] | None = None

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
        term_s, sum_s = self._term(z_s, z_t, self.bank.teacher, batch.index, rows, mask, count, self.log_z[0])
        term_t, sum_t = self._term(z_t, z_s, self.bank.student, batch.index, rows, mask, count, self.log_z[1])
        if self.training:
            self._pending = (batch.index, z_s.detach(), z_t.detach(), _used(sum_s, sum_t, count))
        self.extras = {"negatives": count.float().mean()}
        return term_s + term_t

    def _term(
        self,
        z: Tensor,
        other: Tensor,
        bank: Tensor,
        index: Tensor,
        rows: Tensor | None,
        mask: Tensor,
        count: Tensor,
        log_z: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """One direction: anchors `z` against the `bank` of the other network; and the log of each anchor's Σ exp."""
        # a record that was not visited yet has no row; its positive is the embedding that the row will get
        positive = torch.where(self.bank.visited[index, None], bank[index].to(other.dtype), other.detach())
        score_pos = (z * positive).sum(1) / self.temperature  # [B]
        # The bank is constant, so the gradient with respect to z is known and autograd need not store [B, N].
        query, memory = (z.detach() / self.temperature).to(mask.dtype), take(bank, rows)

        if self.critic == "infonce":
            sums, gradients = [], []
            for part, score in self._scores(query, memory, mask):
                sums.append(_logsumexp(score))
                gradients.append((score.softmax(1).to(part.dtype) @ part).to(z.dtype))
            share = torch.stack(sums).softmax(0)[:, :, None]  # share of each chunk in an anchor's sum
            gradient = (share * torch.stack(gradients)).sum(0)
            sum_neg = _with_gradient(torch.stack(sums).logsumexp(0), z, gradient / self.temperature)
            all_scores = torch.logaddexp(score_pos, sum_neg)
            return (all_scores - score_pos).mean(), all_scores.detach()

        if not self._z_known:
            first = torch.stack([_logsumexp(score) for _, score in self._scores(query, memory, mask)]).logsumexp(0)
            every = torch.logaddexp(score_pos, first).detach()
            log_z = self._log_z_of(*gather_rows(_used(every, every, count)))[0].nan_to_num()
        offset = log_z + torch.log(count.clamp(min=1) / len(self.bank.visited))
        sum_neg, value_neg, gradient = torch.zeros_like(offset), torch.zeros_like(offset), torch.zeros_like(z)
        for part, score in self._scores(query, memory, mask):
            odds = _exp(score - offset[:, None], out=score)
            sum_neg += odds.sum(1)
            value, share = _log1p(odds)  # softplus and sigmoid of ℓ⁻
            value_neg += value.sum(1)
            gradient += share.to(part.dtype) @ part
        value_neg = _with_gradient(value_neg, z, gradient / self.temperature)
        value = (F.softplus(offset - score_pos) + value_neg) * (count > 0)
        return value.mean(), torch.logaddexp(score_pos.detach(), sum_neg.log() + offset)

    def _scores(self, query: Tensor, memory: Tensor, mask: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """For each chunk, the bank's rows in the precision of `query`, and the masked scores ``[B, chunk]``."""
        for part, part_mask in zip(memory.split(self.chunk), mask.split(self.chunk, dim=1), strict=True):
            part = part.to(query.dtype)
            yield part, torch.addmm(part_mask, query, part.T).to(self.log_z.dtype)

    def after_backward(self) -> None:
        """Update the bank with the embeddings of the step in all processes, and Z with its estimate."""
        if self._pending is None:
            return
        index, z_s, z_t, sums = gather_rows(*self._pending)
        self._pending = None
        self.bank.update(index, z_s, z_t)
        self.step += 1
        rho, new = self.z_momentum, self._log_z_of(sums)
        log_rho, log_rest = (math.log(share) if share > 0 else -math.inf for share in (rho, 1 - rho))
        averaged = torch.logaddexp(self.log_z + log_rho, new + log_rest)
        self.log_z.copy_(torch.where(self.log_z.isnan(), new, torch.where(new.isnan(), self.log_z, averaged)))

    def _log_z_of(self, sums: Tensor) -> Tensor:
        """log(N · mean exp score) of both terms, over the scores that `_used` added up; NaN if there were none."""
        number = sums[:, 2].sum()
        log_z = sums[:, :2].logsumexp(0) - number.clamp(min=1).log() + math.log(len(self.bank.visited))
        return torch.where(number > 0, log_z, math.nan)

    def _rows(self, device: torch.device) -> Tensor | None:
        """All rows, or random rows drawn for seed and step, the same for every anchor and in every process."""
        if len(self.bank.visited) <= self.max_rows:
            return None
        drawn = np.random.default_rng([self.seed, int(self.step)]).choice(
            len(self.bank.visited), self.max_rows, replace=False, shuffle=False
        )
        return torch.from_numpy(np.sort(drawn)).to(device)


def _used(sum_s: Tensor, sum_t: Tensor, count: Tensor) -> Tensor:
    """``[1, 3]``: log of the sums of all anchors that have negatives, for both terms, and the number of scores."""
    used = count > 0
    sums = torch.stack([sum_s, sum_t]).masked_fill(~used, -math.inf).logsumexp(1)
    return torch.cat([sums, ((count + 1) * used).sum()[None]])[None]


def _exp(x: Tensor, out: Tensor) -> Tensor:
    """``x.exp()`` with exp2, because torch's exp on CPUs is ten times slower when it underflows."""
    return torch.exp2(x.mul_(math.log2(math.e)).clamp_(max=LARGEST_LOGIT * math.log2(math.e)), out=out)


def _log1p(odds: Tensor) -> tuple[Tensor, Tensor]:
    """``log(1 + odds)`` and ``odds / (1 + odds)``, four times faster than torch's log1p on CPUs, as precise."""
    total = 1 + odds
    inverse = total.reciprocal()
    lost = odds - (total - 1)  # what rounding took off
    return total.log_().addcmul_(lost, inverse), odds * inverse


def _logsumexp(x: Tensor) -> Tensor:
    """``x.logsumexp(1)``, see `_exp`."""
    top = x.amax(1)
    return top + _exp(x - top[:, None], out=torch.empty_like(x)).sum(1).log()


def _with_gradient(value: Tensor, z: Tensor, gradient: Tensor) -> Tensor:
    """`value` ``[B]`` as a function of `z` with this `gradient` ``[B, D]``; autograd would store ``[B, N]`` for it."""
    inner = (z * gradient).sum(1)
    return value + inner - inner.detach()
