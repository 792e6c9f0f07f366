"""TrainingState: all that a run needs to go on as if it had not stopped, and the best epoch so far."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ecgzoo.errors import WeightsError
from ecgzoo.files import write_text
from ecgzoo.model import EcgModel
from ecgzoo.training.checkpoint import load_state, save_state
from ecgzoo.training.distiller import Distiller

_MISFITS = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError)  # of state that is another's

CHECKPOINT, LOG = "checkpoint.safetensors", "log.jsonl"


class TrainingState:
    """Weights of student and losses, optimizer, averaged weights, the log, and the best epoch's weights.

    Args:
        distiller: student and losses.
        optimizer: of their parameters.
        ema_decay: of the averaged weights, which are then those that are judged; 0 for none.
    """

    def __init__(self, distiller: Distiller, optimizer: Any, ema_decay: float) -> None:
        from timm.utils import ModelEmaV3

        self.distiller, self.optimizer = distiller, optimizer
        self.ema = ModelEmaV3(distiller.student, decay=ema_decay, use_warmup=True) if ema_decay else None
        self.log: list[dict[str, Any]] = []
        self.best_line: dict[str, Any] | None = None
        self.best_weights: dict[str, Tensor] = {}

    @property
    def epochs(self) -> int:
        """How many are done."""
        return len(self.log)

    @property
    def judged(self) -> EcgModel:
        """The model that is validated and published."""
        model: EcgModel = self.ema.module if self.ema else self.distiller.student
        return model

    def is_out_of(self, patience: int) -> bool:
        """Whether the last `patience` epochs were no better; never for a patience of 0."""
        return bool(patience and self.best_line and self.epochs - self.best_line["epoch"] > patience)

    def average(self, step: int) -> None:
        """Take the student's weights into the average."""
        if self.ema:
            self.ema.update(self.distiller.student, step=step)

    def record(self, line: dict[str, Any]) -> None:
        """Add an epoch to the log, and keep its weights if it is the best."""
        self.log.append(line)
        if self.best_line is None or line["val_macro_auc"] > self.best_line["val_macro_auc"]:
            self.best_line = line
            weights = self.judged.backbone.state_dict()
            self.best_weights = {name: tensor.detach().clone() for name, tensor in weights.items()}

    def finish(self) -> dict[str, Any]:
        """Leave the best epoch's weights in the student, in eval mode; that epoch's line of the log."""
        assert self.best_line is not None  # there is at least one epoch
        self.distiller.student.backbone.load_state_dict(self.best_weights)
        self.distiller.student.eval()
        return self.best_line

    def save(self, folder: Path) -> None:
        """Write checkpoint and log, each whole or not at all."""
        tree = {
            "learner": self.distiller.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "history": self.log,
            "best_line": self.best_line,
            "best_weights": self.best_weights,
        }
        save_state(folder / CHECKPOINT, tree)
        write_text(folder / LOG, "".join(json.dumps(line) + "\n" for line in self.log))

    def resume(self, folder: Path) -> None:
        """Go on from the checkpoint in `folder`, if there is one.

        Raises:
            WeightsError: it cannot be read, or is of another recipe.
        """
        path = folder / CHECKPOINT
        if not path.exists():
            return
        state = load_state(path)
        restore(self.distiller, self.optimizer, state, path)
        try:
            if self.ema:
                self.ema.module.load_state_dict(state["ema"])
            self.log, self.best_line, self.best_weights = state["history"], state["best_line"], state["best_weights"]
            for line in [*self.log, *([self.best_line] if self.log else [])]:
                if not all(isinstance(line[name], int | float) for name in ("epoch", "val_macro_auc")):
                    raise TypeError("a line of its log holds no numbers")
        except _MISFITS as error:
            raise _other_recipe(path, error) from error


def restore(learner: nn.Module, optimizer: Any, state: dict[str, Any], path: Path) -> None:
    """Load what a checkpoint at `path` holds of them.

    Raises:
        WeightsError: it is of another learner.
    """
    try:
        learner.load_state_dict(state["learner"])
        optimizer.load_state_dict(state["optimizer"])
    except _MISFITS as error:
        raise _other_recipe(path, error) from error


def _other_recipe(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"{path} does not fit this recipe ({error}); delete it to start anew")
