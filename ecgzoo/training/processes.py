"""Several processes: divide the work of scoring, check that all have the same weights, and end together."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn

from ecgzoo.data import Cohort
from ecgzoo.errors import EcgZooError, RecipeError
from ecgzoo.evaluation.cohort import RECORDS_AT_ONCE, score_rows
from ecgzoo.model import EcgModel

PR_SET_PDEATHSIG = 1  # for prctl of Linux


def end_with_launcher() -> None:
    """End this process if torchrun is killed (Linux only); else it would continue to train, or wait for ever."""
    if sys.platform == "linux" and "TORCHELASTIC_RUN_ID" in os.environ:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def on_main(accelerator: Accelerator, *actions: Callable[[], object]) -> None:
    """Do in the main process what can fail, while the others wait. If it fails, all processes raise the same error."""
    failure: list[Exception | None] = [None]
    if accelerator.is_main_process:
        try:
            for action in actions:
                action()
        except (EcgZooError, OSError) as error:
            failure = [error]
    broadcast_object_list(failure)
    if failure[0]:
        raise failure[0]


def lost_contact(error: Exception) -> bool:
    """Whether a collective failed because another process died or hangs; gloo raises a plain RuntimeError."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def check_in_step(accelerator: Accelerator, module: nn.Module, name: str) -> None:
    """Check that weights, banks and Z are the same in all processes, by the exact sum of each tensor.

    Raises:
        RecipeError: they differ.
    """
    if accelerator.num_processes > 1:
        sums = torch.stack([tensor.nansum(dtype=torch.float64) for tensor in module.state_dict().values()])
        if not (accelerator.gather(sums[None]) == sums).all():
            raise RecipeError(
                f"{name}: the processes have different weights; a loss must update its buffers equally in all of them"
            )


def score_shared(accelerator: Accelerator, model: EcgModel, cohort: Cohort, rows: np.ndarray) -> np.ndarray:
    """`score_rows` with its chunks divided among the processes: the same chunks and results for any number of them."""
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
