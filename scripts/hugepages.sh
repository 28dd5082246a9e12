#!/usr/bin/env bash
# hugepages.sh: reserves huge pages of 2 MiB and mounts hugetlbfs.
#
#   hugepages.sh                               shows what there is
#   hugepages.sh N [--node NODE] [--persist]   has N of them, in all or on one NUMA node
#
# Without --node the kernel spreads them evenly over NUMA nodes. N = 0 gives all free ones back. --persist also does so
# at every boot, by sysctl.d. `pollux doctor --config FILE` says how many a configuration needs.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

sys=${SYSFS:-/sys} # other trees for trying this out
etc=${ETC:-/etc}
mounts=${PROCFS:-/proc}/mounts
pages=$sys/kernel/mm/hugepages/hugepages-2048kB
mount_point=/dev/hugepages
setting=$etc/sysctl.d/60-pollux-hugepages.conf

mounted_at() { awk '$3 == "hugetlbfs" { print $2; exit }' "$mounts"; }

show() {
  local where node
  where=$(mounted_at)
  echo "2 MiB huge pages: $(cat "$pages/nr_hugepages") reserved, $(cat "$pages/free_hugepages") free; hugetlbfs: ${where:-not mounted}"
  for node in "$sys"/devices/system/node/node[1-9]*; do # one node only: the same again
    [ ! -e "$node" ] || for node in "$sys"/devices/system/node/node[0-9]*; do
      echo "  NUMA $(basename "$node"): $(cat "$node/hugepages/hugepages-2048kB/nr_hugepages") reserved"
    done
    break
  done
}

remember() { # N
  if [ "$1" -eq 0 ]; then
    rm -f "$setting"
    say "none at the next boot"
    return
  fi
  mkdir -p "$etc/sysctl.d"
  echo "vm.nr_hugepages = $1" >"$setting"
  say "$1 at every boot, by $setting"
}

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }

wanted='' node='' persist=''
while [ $# -gt 0 ]; do
  case $1 in
    --persist) persist=1 ;;
    --node) node=${2:-}; [[ $node =~ ^[0-9]+$ ]] || die "which node? For example: $0 1024 --node 0"; shift ;;
    --help | -h) usage; exit ;;
    *) [[ -z $wanted && $1 =~ ^[0-9]+$ ]] || die "how many pages of 2 MiB? For example: $0 1024"; wanted=$1 ;;
  esac
  shift
done
[ -z "$node" ] || [ -z "$persist" ] ||
  die "sysctl.d knows no nodes: on the kernel's command line, hugepages=$node:${wanted:-1024}, or without --node"

[ -d "$pages" ] || die "this kernel has no 2 MiB huge pages; start Pollux with eal_args = [\"--no-huge\", ...]"
if [ -z "$wanted" ]; then
  [ -z "$node$persist" ] || die "how many pages of 2 MiB? For example: $0 1024"
  show
  exit
fi
[ "$sys" != /sys ] || need_root
count=$pages/nr_hugepages
if [ -n "$node" ]; then
  count=$sys/devices/system/node/node$node/hugepages/hugepages-2048kB/nr_hugepages
  [ -e "$count" ] || die "there is no NUMA node $node here"
fi
echo "$wanted" >"$count"
if [ "$wanted" -gt 0 ] && [ -z "$(mounted_at)" ]; then
  mkdir -p $mount_point
  mount -t hugetlbfs -o pagesize=2M none $mount_point
fi
[ -z "$persist" ] || remember "$wanted"
show
got=$(cat "$count")
[ "$got" -ge "$wanted" ] ||
  die "only $got of $wanted pages: memory is short or in pieces. Reserve them at boot: hugepages=$wanted on the kernel's command line"
