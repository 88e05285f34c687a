#!/usr/bin/env bash
# A real Slurm of virtual nodes on this machine, for tests; works in a bare container, without systemd or a database.
#
#   slurm_cluster.sh install         programs by apt-get, where root may
#   slurm_cluster.sh start FOLDER    start what does not run yet; FOLDER holds configuration, key, state and logs
#   slurm_cluster.sh stop FOLDER     end what was started there and remove FOLDER
#
# `SLURM_CONF=FOLDER/slurm.conf sbatch …` then talks to it. Partitions: `batch` (the default; nodes n1 and n2), and on n3 `spot`,
# which `urgent` preempts. Each node has two CPUs, whatever the machine has.
set -euo pipefail
READY_S=30

log() { echo "slurm: $*" >&2; }

program() { # Debian keeps daemons where users' PATH may not look
  PATH="$PATH:/usr/sbin:/sbin" command -v "$1"
}

installed() { program slurmctld && program slurmd && program munged && program sbatch; } >/dev/null 2>&1

install() {
  installed && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    log "not installed, and only root on Debian can do so here"
    return 1
  fi
  # The packages would start their services, which is nobody's wish here; a container has no systemd to do it anyway.
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge >/dev/null
  installed || { log "the packages slurm-wlm and munge did not bring all programs"; return 1; }
}

configure() {
  local folder=$1 user host port
  user=$(id -un) host=$(uname -n)
  # Ports follow from the folder: the same when started again, others beside another cluster.
  port=$((20000 + $(printf %s "$folder" | cksum | cut -d' ' -f1) % 7000 * 4))
  mkdir -p "$folder"/{state,spool,logs,run}
  chmod 755 "$folder" "$folder"/{state,spool,logs,run}
  [ -e "$folder/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
  cat >"$folder/slurm.conf" <<CONF
ClusterName=odyssey
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its credential has expired: seconds, instead of two minutes.
AuthInfo=socket=$folder/run/munge.socket,cred_expire=5
SlurmctldPort=$port
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd-%n.pid
SlurmctldLogFile=$folder/logs/slurmctld.log
SlurmdLogFile=$folder/logs/slurmd-%n.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
# Seconds from SIGTERM to SIGKILL of a job that is ended.
KillWait=20
MinJobAge=300
MaxArraySize=101
ReturnToService=2
GresTypes=gpu
NodeName=DEFAULT CPUs=2 RealMemory=100 Gres=gpu:1 State=UNKNOWN
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1))
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2))
NodeName=n3 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 3))
PartitionName=DEFAULT MaxTime=INFINITE State=UP
PartitionName=batch Nodes=n1,n2 Default=YES PriorityTier=1
PartitionName=spot Nodes=n3 PriorityTier=1
PartitionName=urgent Nodes=n3 PriorityTier=9
CONF
  # A GPU that is none: jobs get a number in CUDA_VISIBLE_DEVICES.
  echo 'NodeName=n[1-3] Name=gpu File=/dev/null' >"$folder/gres.conf"
}

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

start() {
  local folder=$1
  installed || install
  [ -e "$folder/slurm.conf" ] || configure "$folder"
  export SLURM_CONF=$folder/slurm.conf
  if ! alive "$folder/run/munged.pid"; then
    "$(program munged)" --force --key-file="$folder/munge.key" --socket="$folder/run/munge.socket" \
      --pid-file="$folder/run/munged.pid" --log-file="$folder/logs/munged.log" --seed-file="$folder/munge.seed"
  fi
  alive "$folder/run/slurmctld.pid" || "$(program slurmctld)" -f "$SLURM_CONF"
  for node in n1 n2 n3; do
    alive "$folder/run/slurmd-$node.pid" || "$(program slurmd)" -f "$SLURM_CONF" -N "$node"
  done
  local tries=$((READY_S * 10))
  until [ "$(sinfo -h -N -p batch,spot -o %t 2>/dev/null | grep -c -E '^(idle|mix|alloc)$')" = 3 ]; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ]; then
      log "its nodes are not ready after $READY_S s"
      tail -n 5 "$folder"/logs/*.log >&2
      return 1
    fi
    sleep 0.1
  done
}

stop() {
  local folder=$1
  [ -e "$folder/slurm.conf" ] || return 0
  export SLURM_CONF=$folder/slurm.conf
  ! alive "$folder/run/slurmctld.pid" || timeout 10 scancel --quiet --user="$(id -un)" 2>/dev/null || true
  for name in slurmd-n1 slurmd-n2 slurmd-n3 slurmctld munged; do
    ! alive "$folder/run/$name.pid" || kill "$(cat "$folder/run/$name.pid")" || true
  done
  local tries=$((READY_S * 10))
  while alive "$folder/run/slurmctld.pid" && [ "$tries" -gt 0 ]; do
    tries=$((tries - 1))
    sleep 0.1
  done
  rm -rf "$folder"
}

case "${1:-} ${2:-}" in
  "install ") install ;;
  "start "/*) start "$2" ;;
  "stop "/*) stop "$2" ;;
  *) echo "usage: $0 install | start /FOLDER | stop /FOLDER" >&2; exit 2 ;;
esac
