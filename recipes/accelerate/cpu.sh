#!/bin/sh
# Several processes of one thread each on the CPUs of one machine (gloo):
#   PROCESSES=4 sh cpu.sh mvkt --data ptbxl --root DIR --batch-norm per-process
# torchrun, because `accelerate launch --cpu --num_processes 4` starts one process
export OMP_NUM_THREADS="${THREADS:-1}"
exec "${PYTHON:-python}" -m torch.distributed.run --standalone --nproc_per_node "${PROCESSES:-$(nproc)}" \
    -m ecgzoo recipe "$@"
