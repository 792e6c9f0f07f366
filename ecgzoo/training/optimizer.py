"""The optimizer and its learning rate, as timm makes them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from ecgzoo.errors import RecipeError
from ecgzoo.training.recipe import Recipe


def make_optimizer(
    module: nn.Module, recipe: Recipe, steps_per_epoch: int
) -> tuple[torch.optim.Optimizer, Callable[[int], None]]:
    """The optimizer, and a function that sets the learning rate after so many steps, which has no state to save.

    Raises:
        RecipeError: timm has no such optimizer or schedule, or the two do not go together.
    """
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2

    try:
        # one kernel for all parameters, where torch has one
        fused: dict[str, Any] = {"fused": True} if recipe.opt in ("adam", "adamw", "sgd") else {}
        optimizer = create_optimizer_v2(module, opt=recipe.opt, lr=recipe.lr, weight_decay=recipe.weight_decay, **fused)
        if recipe.sched != "onecycle":
            scheduler, _ = create_scheduler_v2(
                optimizer,
                recipe.sched,
                num_epochs=recipe.epochs,
                step_on_epochs=False,
                updates_per_epoch=steps_per_epoch,
            )
            assert scheduler is not None
            return optimizer, scheduler.step_update
        cycle = OneCycleLR(  # timm has none
            optimizer,
            max_lr=recipe.lr,
            total_steps=recipe.epochs * steps_per_epoch + 1,
            cycle_momentum=any(name in optimizer.defaults for name in ("momentum", "betas")),
        )
    except (AssertionError, ImportError, ValueError, RuntimeError) as error:
        raise RecipeError(
            f"opt {recipe.opt!r} with sched {recipe.sched!r} is not available ({error}); "
            "take an optimizer that timm knows, and onecycle or a schedule that timm knows"
        ) from error

    def set_lr(done: int) -> None:
        cycle.last_epoch = done - 1
        cycle.step()

    return optimizer, set_lr
