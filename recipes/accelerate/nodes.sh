#!/bin/sh
# Several machines, with GPUs (NCCL) or without (gloo). Run the same command on each; HOST is one of them:
#   HOST=node0 NODES=2 PROCESSES=8 sh nodes.sh mvkt --data ptbxl --root DIR --output SHARED/run
# DIR and --output must be on a file system that all machines share. If a process dies, all are started again, at most
# RESTARTS times, and continue after their last complete epoch.
export OMP_NUM_THREADS="${THREADS:-1}"
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 # else restarted processes read addresses of dead ones: pytorch#135712
exec "${PYTHON:-python}" -m torch.distributed.run --nnodes "${NODES:?}" --nproc_per_node "${PROCESSES:?}" \
    --rdzv_backend c10d --rdzv_endpoint "${HOST:?}:${PORT:-29500}" --rdzv_id "${JOB:-ecgzoo}" \
    --max_restarts "${RESTARTS:-3}" -m ecgzoo recipe "$@" --resume
