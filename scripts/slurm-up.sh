#!/usr/bin/env bash
# A real SLURM on this machine, for tests and for trying things out: one controller and several slurmd that play nodes,
# without systemd, without accounting, on the loopback interface. Needs Debian or Ubuntu; root (or sudo) only to install
# the packages. Running it again starts what has died. slurm-down.sh takes it down.
#
#   eval "$(scripts/slurm-up.sh)"    # sets SLURM_CONF, which all SLURM commands need
#
# Partitions: main (the default), short (one minute at most), low (preempted and requeued by high), high, and closed
# (for an account that nobody has).
# Every variable has a default; two instances with other roots and ports can run side by side:
#   SLURM_ROOT   the folder of all its files; give slurm-down.sh the same
#   SLURM_PORT   the controller's port; the nodes listen on the ports after it
#   SLURM_NODES SLURM_CPUS SLURM_MEM SLURM_GPUS   nodes, and what each says it has (memory in MB)
#   SLURM_GRACE  seconds between the warning and the end of a preempted job
#   SLURM_CONF_EXTRA   lines to add to slurm.conf
set -euo pipefail

root=${SLURM_ROOT:-${TMPDIR:-/tmp}/dask-batch-slurm-$(id -u)}
port=${SLURM_PORT:-23817}
nodes=${SLURM_NODES:-4} cpus=${SLURM_CPUS:-4} memory=${SLURM_MEM:-8000} gpus=${SLURM_GPUS:-2}
me=$(id -un)
export PATH=$PATH:/usr/sbin:/sbin

fail() {
  echo "slurm-up: $*" >&2
  tail -n 5 "$root"/log/*.log >&2 2>/dev/null || true
  exit 1
}

# Wait until a command succeeds; the first argument says what for.
wait_for() {
  local what=$1 deadline=$((SECONDS + 30))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "not within 30 s: $what"
    sleep 0.1
  done
}

install_packages() {
  command -v sbatch slurmctld slurmd munged | awk 'END { exit NR != 4 }' && return
  command -v apt-get >/dev/null || fail "SLURM is not installed, and there is no apt-get to install it with"
  local sudo='' policy=''
  [ "$(id -u)" = 0 ] || sudo=$(command -v sudo) || fail "SLURM is not installed: apt-get install slurm-wlm munge"
  # The packages would start daemons of their own, with a configuration that is not there.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
    $sudo chmod +x $policy
  fi
  local log done=yes
  log=$(mktemp)
  # A mirror that is down at the moment does not matter if the lists are there.
  $sudo apt-get update -qq >"$log" 2>&1 || true
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
    slurm-wlm munge >>"$log" 2>&1 || done=no
  [ -z "$policy" ] || $sudo rm -f $policy
  [ $done = yes ] || tail -n 20 "$log" >&2
  rm -f "$log"
  [ $done = yes ] || fail "the packages slurm-wlm and munge could not be installed"
}

# SLURM listens on the address of the machine's name. Where that is not the loopback interface the daemons are given
# another name for the machine.
name_of_this_machine() {
  case $(getent ahostsv4 "$(hostname)" | awk 'NR == 1 { print $1 }') in
    127.*) hostname -s ;;
    *) echo localhost ;;
  esac
}

write_configuration() {
  mkdir -p "$root"/{etc,state,log,run,gpus}
  chmod 755 "$root" "$root"/{etc,state,log,run,gpus}
  if [ ! -s "$root/etc/munge.key" ]; then
    (umask 077 && dd if=/dev/urandom of="$root/etc/munge.key" bs=128 count=1 status=none)
  fi
  for node in $(seq "$nodes"); do
    mkdir -p "$root/spool/n$node"
  done
  : >"$root/etc/gres.conf"
  for gpu in $(seq 0 $((gpus - 1))); do
    ln -sfn /dev/null "$root/gpus/gpu$gpu" # any device will do, only the number in its name counts
    echo "Name=gpu File=$root/gpus/gpu$gpu" >>"$root/etc/gres.conf"
  done
  cat >"$root/etc/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$machine(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$me
SlurmdUser=$me
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$root/run/munge.socket
MpiDefault=none
MailProg=/bin/true
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/spool/%n
SlurmctldPidFile=$root/run/slurmctld.pid
SlurmdPidFile=$root/run/slurmd-%n.pid
SlurmctldLogFile=$root/log/slurmctld.log
SlurmdLogFile=$root/log/slurmd-%n.log
# neither cgroups nor systemd
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
# nodes have what is written here, whatever the machine has
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=$((memory / cpus))
GresTypes=gpu
# batch jobs start at once rather than every few seconds
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
EnforcePartLimits=ALL
ReturnToService=2
KillWait=5
SlurmctldTimeout=30
SlurmdTimeout=30
InactiveLimit=0
Waittime=0
${SLURM_CONF_EXTRA:-}
NodeName=DEFAULT CPUs=$cpus Boards=1 SocketsPerBoard=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=$memory
NodeName=DEFAULT Gres=gpu:$gpus State=UNKNOWN
$(for node in $(seq "$nodes"); do
    echo "NodeName=n$node NodeHostname=$machine NodeAddr=127.0.0.1 Port=$((port + node))"
  done)
PartitionName=DEFAULT Nodes=ALL State=UP MaxTime=INFINITE PriorityTier=1 PreemptMode=OFF
PartitionName=main Default=YES
PartitionName=short MaxTime=1
PartitionName=low PreemptMode=REQUEUE GraceTime=${SLURM_GRACE:-0}
PartitionName=high PriorityTier=10
PartitionName=closed AllowAccounts=staff
CONF
}

# Whether the daemon of this pid file lives: its process is there, is not another one's, and is not dead and unburied.
alive() {
  local pid
  pid=$(cat "$root/run/$1.pid" 2>/dev/null) || return
  awk -v name="${1%-n*}" '/^Name:/ { ours = $2 == name } /^State:/ { dead = $2 ~ /[ZX]/ } END { exit !ours || dead }' \
    "/proc/$pid/status" 2>/dev/null
}

# Fail early where another program has a port that a daemon needs.
check_port() {
  alive "$1" || ! (: 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null || fail "port $2 is in use: choose others with SLURM_PORT"
}

# Start a daemon if it does not live, on a machine of the right name.
daemon() {
  local name=$1
  shift
  alive "$name" && return
  rm -f "$root/run/$name.pid"
  if [ "$machine" = localhost ] && [ "$(hostname)" != localhost ]; then
    set -- unshare --uts sh -c 'hostname localhost && exec "$@"' sh "$@"
  fi
  "$@" </dev/null >>"$root/log/start.log" 2>&1 || fail "$name does not start"
}

start_daemons() {
  check_port slurmctld "$port"
  for node in $(seq "$nodes"); do
    check_port "slurmd-n$node" $((port + node))
  done
  alive munged || rm -f "$root"/run/munge.socket*
  daemon munged munged --force --key-file="$root/etc/munge.key" --socket="$root/run/munge.socket" \
    --pid-file="$root/run/munged.pid" --log-file="$root/log/munged.log" --seed-file="$root/run/munged.seed"
  wait_for "munge answers" munge -n -S "$root/run/munge.socket"
  daemon slurmctld slurmctld -f "$SLURM_CONF"
  for node in $(seq "$nodes"); do
    daemon "slurmd-n$node" slurmd -f "$SLURM_CONF" -N "n$node"
  done
}

nodes_are_ready() {
  [ "$(sinfo -h -N -p main -o %T | grep -cE '^(idle|mixed|allocated)$')" = "$nodes" ]
}

# apt-get runs only once at a time, and others may be starting an instance, too.
exec 9<"$0"
flock 9
install_packages >&2
exec 9<&-
machine=$(name_of_this_machine)
write_configuration
export SLURM_CONF=$root/etc/slurm.conf
start_daemons
wait_for "the controller answers" scontrol ping
wait_for "all nodes are ready" nodes_are_ready
echo "export SLURM_CONF=$SLURM_CONF"
