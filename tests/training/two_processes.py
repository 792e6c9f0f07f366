"""Run by test_distributed.py under torchrun: distil as the recipe says, then keep what each process holds of CLT."""

import sys

from accelerate import PartialState
from safetensors.torch import save_file

from ecgzoo import Recipe, distill
from ecgzoo.training import distiller

recipe = Recipe(
    data="tiny",
    teacher="resnet1d18",  # no dropout, the one thing that differs between one process and two
    student="resnet1d18",
    losses=("bce=1", "mkd=1", "clt=0.8"),
    epochs=1,
    pretrain_epochs=1,
    batch_size=32,
    lr=2e-3,
    opt="sgd",  # Adam divides by the gradient's size, and so turns rounding into steps
    output=sys.argv[1],
    compare=False,
    precision=sys.argv[2],
)
kept = []
create_loss = distiller.create_loss


def keep(*given: object, **arguments: object) -> object:
    kept.append(create_loss(*given, **arguments))
    return kept[-1]


distiller.create_loss = keep
distill(recipe)
state = PartialState()
clt = {name: value.clone().contiguous() for name, value in kept[-1].state_dict().items()}
save_file(clt, f"{recipe.output}/clt-{state.process_index}-of-{state.num_processes}.safetensors")
state.destroy_process_group()
