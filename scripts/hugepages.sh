#!/usr/bin/env bash
# hugepages.sh [N]: reserves N huge pages of 2 MiB and mounts hugetlbfs; without N, shows what there is.
# On a machine with several NUMA nodes the kernel spreads them evenly. N = 0 gives all free ones back.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

pages=/sys/kernel/mm/hugepages/hugepages-2048kB
mount_point=/dev/hugepages

show() {
  local where
  where=$(awk '$3 == "hugetlbfs" { print $2; exit }' /proc/mounts)
  echo "2 MiB huge pages: $(cat $pages/nr_hugepages) reserved, $(cat $pages/free_hugepages) free; hugetlbfs: ${where:-not mounted}"
}

[ -d $pages ] || die "this kernel has no 2 MiB huge pages; start Pollux with eal_args = [\"--no-huge\", ...]"
if [ $# -eq 0 ]; then show; exit; fi
[[ $# -eq 1 && $1 =~ ^[0-9]+$ ]] || die "how many pages of 2 MiB? For example: $0 1024"
need_root
echo "$1" >$pages/nr_hugepages
if [ "$1" -gt 0 ] && ! awk '$3 == "hugetlbfs" { found = 1 } END { exit !found }' /proc/mounts; then
  mkdir -p $mount_point
  mount -t hugetlbfs -o pagesize=2M none $mount_point
fi
show
got=$(cat $pages/nr_hugepages)
[ "$got" -ge "$1" ] ||
  die "only $got of $1 pages: memory is short or in pieces. Reserve them at boot: hugepages=$1 on the kernel's command line"
