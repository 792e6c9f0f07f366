"""What several processes share: the work of scoring, the promise that all hold the same, and their end."""

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

PR_SET_PDEATHSIG = 1  # of Linux' prctl


def end_with_launcher() -> None:
    """A torchrun that is killed takes this process along, on Linux; else it would train on, or wait for ever."""
    if sys.platform == "linux" and "TORCHELASTIC_RUN_ID" in os.environ:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def on_main(accelerator: Accelerator, *actions: Callable[[], object]) -> None:
    """Let the main process do what can fail, while the others wait; if it does, all stop for the same reason."""
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
    """Whether a collective failed, since another process died or hangs; gloo raises a bare RuntimeError."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


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
