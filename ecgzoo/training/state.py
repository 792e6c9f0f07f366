"""TrainingState: all that is needed to continue a run as if it had not been stopped, and its best epoch so far."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ecgzoo.errors import WeightsError
from ecgzoo.files import write_text
from ecgzoo.model import EcgModel
from ecgzoo.training.checkpoint import load_state, save_state
from ecgzoo.training.distiller import Distiller
from ecgzoo.training.recipe import difference

_MISFITS = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError)  # state that does not fit

CHECKPOINT, LOG = "checkpoint.safetensors", "log.jsonl"
MEMORY = "memory.safetensors"  # CLT's banks of a large cohort: see `TrainingState.save`
LARGE_BYTES = 64 << 20  # of one tensor: a bank of 262,144 records
CHANGED = 0.5  # of a tensor's norm
LOOKED_AT = 1024  # rows


class TrainingState:
    """Weights of student and losses, optimizer, averaged weights, the log, and the best epoch's weights.

    Args:
        distiller: student and losses.
        optimizer: optimizer of their parameters.
        ema_decay: decay of the averaged weights, which are then evaluated; 0 to disable.
        origin: what the run is made from, as plain JSON values; a checkpoint with another origin is refused, but the
            number of epochs may be larger.
        scaler: scaler of the loss in fp16, None in other precisions.
    """

    def __init__(
        self,
        distiller: Distiller,
        optimizer: Any,
        ema_decay: float,
        origin: Mapping[str, Any] | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        from timm.utils import ModelEmaV3

        self.distiller, self.optimizer, self.origin = distiller, optimizer, dict(origin or {})
        self.groups, self.scaler = _groups(optimizer), scaler
        if scaler is not None:  # the process has only one, and training another network has changed it
            device = next(distiller.parameters()).device.type
            scaler.load_state_dict(torch.amp.GradScaler(device).state_dict())
        self.ema = ModelEmaV3(distiller.student, decay=ema_decay, use_warmup=True) if ema_decay else None
        self.log: list[dict[str, Any]] = []
        self.best_line: dict[str, Any] | None = None
        self.best_weights: dict[str, Tensor] = {}
        self._memory_there: dict[str, Tensor] = {}  # some rows of what is in the file

    @property
    def epochs(self) -> int:
        """Number of epochs that are done."""
        return len(self.log)

    @property
    def judged(self) -> EcgModel:
        """The model that is evaluated and published."""
        return self.ema.module if self.ema else self.distiller.student

    def is_out_of(self, patience: int) -> bool:
        """Whether the last `patience` epochs were not better; always False if `patience` is 0."""
        return bool(patience and self.best_line and self.epochs - self.best_line["epoch"] >= patience)

    def average(self, step: int) -> None:
        """Update the average with the student's weights."""
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
        """Load the best epoch's weights into the student, in eval mode; return the log line of that epoch."""
        assert self.best_line is not None  # there is at least one epoch
        self.distiller.student.backbone.load_state_dict(self.best_weights)
        self.distiller.student.eval()
        return self.best_line

    def save(self, folder: Path, last: bool = True) -> None:
        """Write checkpoint and log, each atomically.

        Buffers of a loss of at least `LARGE_BYTES`, and others with as many rows, are in a file of their own. It is
        written only after the last epoch, and when they have changed much: by `CHANGED` of their norm since it was
        written. A run that is resumed in between starts with older banks, whose rows are averages over several epochs
        anyway. Smaller ones are always of the same epoch.
        """
        learner = self.distiller.state_dict()
        buffers = {name: buffer for name, buffer in self.distiller.terms.named_buffers("terms") if name in learner}
        rows = {len(buffer) for buffer in buffers.values() if buffer.nbytes >= LARGE_BYTES}
        memory = {name: learner.pop(name) for name, buffer in buffers.items() if buffer.ndim and len(buffer) in rows}
        if memory and (last or self._changed(memory)):
            save_state(folder / MEMORY, {"origin": self.origin, "learner": memory})
            self._memory_there = _some_rows(memory)
        tree = {
            "origin": self.origin,
            "groups": self.groups,
            "learner": learner,
            "memory": list(memory),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "ema": self.ema.module.state_dict() if self.ema else None,
            "history": self.log,
            "best_line": self.best_line,
            "best_weights": self.best_weights,
        }
        save_state(folder / CHECKPOINT, tree)
        self.write_log(folder)

    def _changed(self, memory: Mapping[str, Tensor]) -> bool:
        """Whether any of these tensors has changed much since it was written, or was never written."""
        rows = _some_rows(memory)
        return rows.keys() != self._memory_there.keys() or any(
            (now - self._memory_there[name]).norm() > CHANGED * now.norm() for name, now in rows.items()
        )

    def write_log(self, folder: Path) -> None:
        """The history as lines of JSON. After a kill between the two writes, the checkpoint has one line more."""
        write_text(folder / LOG, "".join(json.dumps(line) + "\n" for line in self.log))

    def resume(self, folder: Path) -> None:
        """Continue from the checkpoint in `folder`, if there is one.

        Raises:
            WeightsError: it cannot be read, belongs to another recipe, or holds weights that are not finite.
        """
        path = folder / CHECKPOINT
        if not path.exists():
            return
        state = load_state(path)
        try:
            if different := difference(state["origin"], self.origin, longer=True):
                raise ValueError(different)
            if state["groups"] != self.groups:
                raise ValueError(f"its parameter groups are {state['groups']}, those of the optimizer {self.groups}")
            if state["memory"]:
                memory = load_state(folder / MEMORY)
                if different := difference(memory["origin"], self.origin, longer=True):
                    raise ValueError(f"{MEMORY}: {different}")
                state["learner"] |= {name: memory["learner"][name] for name in state["memory"]}
                self._memory_there = _some_rows(memory["learner"])
            restore(self.distiller, self.optimizer, state, path)
            if self.scaler:
                self.scaler.load_state_dict(state["scaler"])
            if self.ema:
                self.ema.module.load_state_dict(state["ema"])
            self.log, self.best_line, self.best_weights = state["history"], state["best_line"], state["best_weights"]
            if not all(isinstance(line[name], int | float) for line in self.log for name in ("epoch", "val_macro_auc")):
                raise TypeError("a line of its log holds no numbers")
            numbers = [line["epoch"] for line in self.log]
            if numbers != list(range(1, self.epochs + 1)) or self.best_line not in self.log:
                raise ValueError("its history does not have the epochs 1, 2, 3, …")
            shapes = {name: tensor.shape for name, tensor in self.judged.backbone.state_dict().items()}
            if {name: tensor.shape for name, tensor in self.best_weights.items()} != shapes:
                raise ValueError("the best epoch's weights are of another network")
        except _MISFITS as error:
            raise _other_recipe(path, error) from error
        _refuse_infinite(path, [*self.best_weights.values(), *self.judged.state_dict().values()])


def restore(learner: nn.Module, optimizer: Any, state: dict[str, Any], path: Path) -> None:
    """Load the checkpoint at `path` into them.

    Raises:
        WeightsError: it does not fit, or its weights are not finite.
    """
    try:
        learner.load_state_dict(state["learner"])
        optimizer.load_state_dict(state["optimizer"])
    except _MISFITS as error:
        raise _other_recipe(path, error) from error
    _refuse_infinite(path, learner.parameters())  # buffers of a loss may hold NaN for values that are not known yet


def _some_rows(memory: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy of evenly spaced rows of each tensor, in float32 on the CPU."""
    steps = {name: -(-len(tensor) // LOOKED_AT) for name, tensor in memory.items()}
    return {name: tensor[:: steps[name]].to("cpu", torch.float32, copy=True) for name, tensor in memory.items()}


def _groups(optimizer: Any) -> list[dict[str, Any]]:
    """The initial settings of each parameter group, to compare, because a checkpoint would silently restore its own."""
    kept = ("lr", "initial_lr", "max_lr", "weight_decay", "lr_scale")
    return [
        {"parameters": len(group["params"]), **{name: float(group[name]) for name in kept if name in group}}
        for group in optimizer.param_groups
    ]


def _refuse_infinite(path: Path, weights: Iterable[Tensor]) -> None:
    if not all(tensor.isfinite().all() for tensor in weights):
        raise WeightsError(f"{path} holds weights that are NaN or infinite; delete it to train this arm again")


def _other_recipe(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"{path} does not fit this recipe ({error}); delete it to train this arm again")
