"""Run by test_distributed.py under torchrun: distil, then keep what each process holds of CLT and of the best epoch."""

import json
import sys
from unittest.mock import patch

from accelerate import PartialState
from accelerate.state import AcceleratorState
from safetensors.torch import save_file

from ecgzoo import Recipe, distill
from ecgzoo.training import distiller
from ecgzoo.training.state import TrainingState

create_loss, finish = distiller.create_loss, TrainingState.finish


def distil(output: str, **fields: object) -> None:
    recipe = Recipe(
        data="tiny",
        teacher="timm/test_resnet",  # no dropout, the one thing that differs between one process and two
        student="timm/test_resnet",
        losses=("bce=1", "mkd=1", "clt=0.8"),
        epochs=1,
        pretrain_epochs=1,
        batch_size=32,
        lr=2e-3,
        opt="sgd",  # Adam divides by the gradient's size, and so turns rounding into steps
        output=output,
        compare=False,
        **fields,
    )
    kept = []

    def keep(*given: object, **arguments: object) -> object:
        kept.append(create_loss(*given, **arguments))
        return kept[-1]

    def keep_best(self: TrainingState) -> object:
        kept.append(self.best_weights)
        return finish(self)

    AcceleratorState._reset_state()  # accelerate keeps one precision a process
    with patch.object(distiller, "create_loss", keep), patch.object(TrainingState, "finish", keep_best):
        distill(recipe)
    state = PartialState()
    which = f"{state.process_index}-of-{state.num_processes}.safetensors"
    *_, clt, best = kept
    save_file({name: value.clone().contiguous() for name, value in clt.state_dict().items()}, f"{output}/clt-{which}")
    save_file({name: value.contiguous() for name, value in best.items()}, f"{output}/best-{which}")


if __name__ == "__main__":
    for output, fields in json.loads(sys.argv[1]).items():
        distil(output, **fields)
    PartialState().destroy_process_group()
