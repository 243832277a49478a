#!/bin/bash
# Two machines of eight GPUs. `sbatch recipes/slurm.sh`; the same script goes on with a run that was cut off.
#SBATCH --job-name=safeclip
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=96
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@180
#SBATCH --requeue

set -euo pipefail
OUT=${OUT:-runs/mine}  # where all machines see it
GPUS=${GPUS:-8}        # of each machine
SPEC='wds:cc12m/{00000..01242}.tar'

if [ -e "$OUT/config.yaml" ]; then
    TRAIN=(train --resume --out "$OUT")
else
    TRAIN=(train --preset cc12m_vitb32 --data "${DATA:-$SPEC}" --out "$OUT")
fi

export OMP_NUM_THREADS=$((SLURM_CPUS_PER_TASK / GPUS))
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=170  # torchrun kills what is still saving 30 s after it was told to end
FIRST=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

# kill-on-bad-exit: a machine whose torchrun ends takes the others' with it
srun --kill-on-bad-exit=1 torchrun \
    --nnodes "$SLURM_NNODES" --nproc-per-node "$GPUS" \
    --rdzv-backend c10d --rdzv-endpoint "$FIRST:29500" --rdzv-id "$SLURM_JOB_ID" \
    -m safeclip "${TRAIN[@]}"
