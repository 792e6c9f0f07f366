"""What several processes share: the work of scoring, and the promise that all hold the same."""

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from ecgzoo.data import Cohort
from ecgzoo.errors import RecipeError
from ecgzoo.evaluation.cohort import RECORDS_AT_ONCE, score_rows
from ecgzoo.model import EcgModel


def check_in_step(accelerator: Accelerator, module: nn.Module, name: str) -> None:
    """Weights, banks and Z must be the same in all processes: the exact sum of each tensor is compared.

    Raises:
        RecipeError: they are not.
    """
    if accelerator.num_processes > 1:
        sums = torch.stack([tensor.double().nansum() for tensor in module.state_dict().values()])
        if not (accelerator.gather(sums[None]) == sums).all():
            raise RecipeError(f"{name}: the processes have drifted apart; a loss must update its buffers in all alike")


def score_shared(accelerator: Accelerator, model: EcgModel, cohort: Cohort, rows: np.ndarray) -> np.ndarray:
    """`score_rows`, its chunks dealt out to the processes: the same chunks, and so the same figures, for any number."""
    processes = accelerator.num_processes
    if processes == 1:
        return score_rows(model, cohort, rows)
    chunk = np.arange(len(rows)) // RECORDS_AT_ONCE % processes
    mine = score_rows(model, cohort, rows[chunk == accelerator.process_index])
    most = max(int((chunk == p).sum()) for p in range(processes))
    padded = torch.zeros(most, model.num_classes, dtype=torch.float64, device=accelerator.device)
    padded[: len(mine)] = torch.from_numpy(mine)
    gathered = accelerator.gather(padded).unflatten(0, (processes, most)).cpu().numpy()
    scores = np.empty((len(rows), model.num_classes))
    for p in range(processes):
        scores[chunk == p] = gathered[p, : int((chunk == p).sum())]
    return scores
