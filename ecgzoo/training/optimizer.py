"""The optimizer, from timm or from the user, and the schedule of its learning rates."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from ecgzoo.errors import RecipeError, no_timm
from ecgzoo.training.distiller import Distiller
from ecgzoo.training.recipe import Recipe
from ecgzoo.training.terms import parse_arguments

MakeOptimizer = Callable[[Distiller], torch.optim.Optimizer | Iterable[dict[str, Any]]]
"""A function of the user that takes the module to train and returns an optimizer or its parameter groups."""

OPEN_ENDED = ("constant", "step", "multistep", "plateau")
"""Schedules that do not depend on the number of epochs, so that a run may be continued with more epochs."""


@dataclass(frozen=True)
class Schedule:
    """Sets the learning rate of each parameter group, starting from the rate of the group. It has no state to save.

    Attributes:
        after_step: called with the number of optimizer steps done.
        after_epoch: called with the validation AUC of each epoch so far.
    """

    after_step: Callable[[int], object] = lambda steps: None
    after_epoch: Callable[[Sequence[float]], object] = lambda aucs: None


def make_optimizer(
    module: nn.Module, recipe: Recipe, steps_per_epoch: int, make: MakeOptimizer | None = None
) -> tuple[torch.optim.Optimizer, Schedule]:
    """The optimizer of the module's parameters, and the schedule of its learning rates.

    Args:
        module: the module to train.
        recipe: names optimizer and schedule.
        steps_per_epoch: optimizer steps per epoch.
        make: returns an optimizer instead of the recipe's, or parameter groups for the recipe's optimizer. A group
            without learning rate or weight decay gets that of the recipe.

    Raises:
        RecipeError: timm has no such optimizer or schedule, the two do not fit together, `make` leaves out a
            parameter or adds one, or timm cannot be imported.
    """
    try:
        from timm.optim import create_optimizer_v2
    except Exception as error:
        raise RecipeError(no_timm(error)) from error

    # one kernel for all parameters, if torch has one
    fused: dict[str, Any] = {"fused": True} if recipe.opt in ("adam", "adamw", "sgd") else {}
    made: Any = module if make is None else make(module)  # type: ignore[arg-type]  # pretraining has no `make`
    if make is not None and not isinstance(made, torch.optim.Optimizer):
        made = list(made) if isinstance(made, Iterable) else [made]
        if not made or not all(isinstance(group, dict) and "params" in group for group in made):
            raise RecipeError(
                f"optimizer gave {made!r:.80}; expected a torch.optim.Optimizer or parameter groups, such as "
                "[{'params': module.student.parameters(), 'lr': 0.001}]"
            )
    try:
        optimizer = (
            made
            if isinstance(made, torch.optim.Optimizer)
            else create_optimizer_v2(made, opt=recipe.opt, lr=recipe.lr, weight_decay=recipe.weight_decay, **fused)
        )
        schedule = _schedule(optimizer, recipe, steps_per_epoch)
    except (AssertionError, ImportError, TypeError, ValueError, RuntimeError) as error:
        raise RecipeError(
            f"opt {recipe.opt!r} with sched {recipe.sched!r} is not available ({error}); "
            "use an optimizer and a schedule that timm knows, or sched onecycle or plateau, with its own arguments"
        ) from error
    if make is not None:
        _check_complete(module, optimizer)
    return optimizer, schedule


def _schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps_per_epoch: int) -> Schedule:
    from timm.scheduler import create_scheduler_v2

    name, arguments = recipe.sched, parse_arguments(recipe.sched_arguments)
    rates = [group["lr"] for group in optimizer.param_groups]
    if name == "onecycle":  # not in timm
        # an optimizer that was made without momentum stays without it
        momentum = any(group.get("betas") or group.get("momentum") for group in optimizer.param_groups)
        arguments.setdefault("cycle_momentum", momentum)
        total = recipe.epochs * steps_per_epoch + 1
        cycle = OneCycleLR(optimizer, max_lr=rates, total_steps=total, **arguments)

        def set_rates(steps: int) -> None:
            cycle.last_epoch = steps - 1
            cycle.step()

        return Schedule(after_step=set_rates)
    if name == "plateau":  # deprecated in timm
        ReduceLROnPlateau(optimizer, mode="max", **arguments)  # to refuse wrong arguments now

        def replay(aucs: Sequence[float]) -> None:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            plateau = ReduceLROnPlateau(optimizer, mode="max", **arguments)
            for auc in aucs:
                plateau.step(auc)

        return Schedule(after_epoch=replay)
    if name == "constant":  # only in newer versions of timm
        name, arguments = "step", {"decay_epochs": 1, "decay_rate": 1.0, **arguments}
    scheduler, _ = create_scheduler_v2(
        optimizer, name, recipe.epochs, step_on_epochs=False, updates_per_epoch=steps_per_epoch, **arguments
    )
    if scheduler is None:
        raise ValueError(f"no schedule is called {name}")
    return Schedule(after_step=scheduler.step_update)


def _check_complete(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Check that the groups contain all parameters that are trained, and no others.

    Raises:
        RecipeError: a parameter is left out or does not belong there.
    """
    wanted = {parameter: name for name, parameter in module.named_parameters()}
    given = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    if left_out := [name for parameter, name in wanted.items() if parameter.requires_grad and parameter not in given]:
        more = f" and {len(left_out) - 5} more" * (len(left_out) > 5)
        raise RecipeError(
            f"optimizer leaves out {', '.join(left_out[:5])}{more}; put each parameter of the student and of "
            "the losses into a group, or call requires_grad_(False) on those that should not be trained"
        )
    if foreign := len(given - wanted.keys()):
        raise RecipeError(f"optimizer has {foreign} tensors that are not parameters of this module; leave them out")
