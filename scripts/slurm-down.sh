#!/usr/bin/env bash
# Takes down the SLURM that slurm-up.sh has started in SLURM_ROOT, with its jobs and all its files, and nothing else.
set -euo pipefail

root=${SLURM_ROOT:-${TMPDIR:-/tmp}/dask-batch-slurm-$(id -u)}
export SLURM_CONF=$root/etc/slurm.conf
[ -e "$SLURM_CONF" ] || exit 0

# The process ids of the daemons: those in pid files that still are what they were.
daemons() {
  local file pid name
  for file in "$root"/run/*.pid; do
    name=$(basename "$file" .pid)
    pid=$(cat "$file" 2>/dev/null) || continue
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "${name%-n*}" ] || echo "$pid"
  done
}

# The processes of jobs, each of which SLURM gives its job's id and the configuration, and what watches over them.
job_processes() {
  local file folder
  for file in $(grep -lszxF "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ); do
    folder=$(dirname "$file")
    if grep -qsza '^SLURM_JOB_ID=' "$file" || [ "$(cat "$folder/comm" 2>/dev/null)" = slurmstepd ]; then
      basename "$folder"
    fi
  done
}

# Those of these processes that are left; zombies are dead, whoever has to bury them.
left() {
  local pid
  for pid in "$@"; do
    case $(awk '/^State:/ { print $2 }' "/proc/$pid/status" 2>/dev/null) in '' | Z | X) ;; *) echo "$pid" ;; esac
  done
}

# Wait up to $1 seconds until the command says nothing.
wait_for_silence() {
  local deadline=$((SECONDS + $1))
  shift
  while [ -n "$("$@" 2>/dev/null)" ]; do
    [ $SECONDS -lt $deadline ] || return 0
    sleep 0.1
  done
}

running=$(daemons)
if jobs=$(timeout 5 squeue -h -o %A 2>/dev/null) && [ -n "$jobs" ]; then
  scancel $jobs 2>/dev/null || true
  wait_for_silence 15 squeue -h -o %A
fi
if [ -n "$running" ]; then
  kill $running 2>/dev/null || true
  kill -CONT $running 2>/dev/null || true # a test may have frozen it
  wait_for_silence 15 left $running
fi
# What no controller has ended, or what has not listened.
stubborn=$(left $running $(job_processes))
if [ -n "$stubborn" ]; then
  kill -9 $stubborn 2>/dev/null || true
  wait_for_silence 15 left $stubborn
fi
rm -rf "$root"
