"""The hooks of this package: one spec per loss. This module does not import torch."""

from ecgzoo import LossSpec, hookimpl


@hookimpl
def ecgzoo_losses() -> tuple[LossSpec, ...]:
    """The losses of this package, in the order of their papers."""
    return (
        LossSpec(
            name="fitnet",
            factory="ecgzoo_losses.fitnet:FitNet",
            summary="hint: the teacher's feature map through a learned regressor (Romero et al., arXiv 1412.6550)",
        ),
        LossSpec(
            name="at",
            factory="ecgzoo_losses.at:AT",
            summary="attention: where in time the features are large (Zagoruyko & Komodakis, arXiv 1612.03928)",
        ),
        LossSpec(
            name="rkd",
            factory="ecgzoo_losses.rkd:RKD",
            summary="relational: distances and angles among a batch's embeddings (Park et al., arXiv 1904.05068)",
        ),
        LossSpec(
            name="simkd",
            factory="ecgzoo_losses.simkd:SimKD",
            summary="the reused teacher classifier, on a learned projection (Chen et al., arXiv 2203.14001)",
        ),
        LossSpec(
            name="dkd",
            factory="ecgzoo_losses.dkd:DKD",
            summary="decoupled: positive and negative classes separately (after Zhao et al., arXiv 2203.08679)",
        ),
        LossSpec(
            name="dist",
            factory="ecgzoo_losses.dist:DIST",
            summary="correlation of probabilities over classes and over records (Huang et al., arXiv 2205.10536)",
        ),
        LossSpec(
            name="mld",
            factory="ecgzoo_losses.mld:MLD",
            summary="one-versus-all logits and label-wise embeddings (L2D; Yang et al., arXiv 2308.06453)",
        ),
        LossSpec(
            name="logit_std",
            factory="ecgzoo_losses.logit_std:LogitStd",
            summary="another loss on logits standardized over the classes (Sun et al., arXiv 2403.01427)",
        ),
    )
