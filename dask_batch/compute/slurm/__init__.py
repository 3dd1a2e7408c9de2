"""Instances on a SLURM cluster: one SLURM job each, asked for with `sbatch` and watched with `squeue`."""
