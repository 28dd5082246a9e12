#!/usr/bin/env bash
# measure.sh: the figures of docs/performance.md, one compare.sh after another, the important ones first.
#
#   benches/packet_rate/measure.sh PATH_TO_POLLUX [CSV]      CSV: docs/performance/packet_rate.csv
#
# Rows that CSV has already are left out, so it can be stopped and started again; a new measurement begins with the file
# removed. It begins no row that would not end within BUDGET_S (1560) seconds, and says what is missing; then run it again.
# A row that fails is reported and left out, and the next one measured; at the end, then, it fails.
# As root on a machine that does nothing else; PAGES (3600) huge pages of 2 MiB are reserved if there are fewer.
# From outside also: ROUNDS (2), SECONDS_EACH (4), WARM (4), WORKER; FLOWS_MAX (10000000) leaves out rows with more;
# ONLY, a regular expression for rows as they are printed.
# Afterwards: scripts/plot.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../scripts/lib.sh"

pollux=$(realpath "${1:?usage: measure.sh PATH_TO_POLLUX [CSV]}")
csv=$(realpath -m "${2:-$root/docs/performance/packet_rate.csv}")
log=${csv%.csv}.log
export ROUNDS=${ROUNDS:-2}
seconds=${SECONDS_EACH:-4} warm=${WARM:-4} budget=${BUDGET_S:-1560} flows_max=${FLOWS_MAX:-10000000}
need_root

# MODE FLOWS DESTINATIONS SCHEDULER BURST, in the order of their importance
rows() {
  local s d
  echo "dr 4096 4 wlc 64
    dr 1000000 4 wlc 64
    dr 10000000 4 wlc 64
    tun 1000000 4 wlc 64
    nat 1000000 4 wlc 64"
  for d in 10 10000; do for s in wlc wrr rr sh; do echo "new 0 $d $s 8"; done; done
  echo "dr 1 4 wlc 64
    dr 100000 4 wlc 64
    dr 4096 4 wlc 1
    dr 4096 4 wlc 4
    dr 4096 4 wlc 16
    tun 4096 4 wlc 64
    nat 4096 4 wlc 64
    dr 1000000 4 wlc 1
    dr 1000000 4 wlc 4
    dr 1000000 4 wlc 16
    nat 10000000 4 wlc 64
    tun 10000000 4 wlc 64
    nat 100000 4 wlc 64
    tun 100000 4 wlc 64
    nat 1 4 wlc 64
    tun 1 4 wlc 64"
  for d in 1000 100; do for s in wlc wrr rr sh; do echo "new 0 $d $s 8"; done; done
}

# What the floor's table and the buffers take of EAL's memory. EAL clears it while it starts, which the check's few
# seconds have to allow for: no more than needed.
memory_mb() { # MODE FLOWS
  case $1 in new) echo 2048; return ;; esac
  case $2 in
    1 | 4096 | 100000) echo 256 ;;
    1000000) echo 768 ;;
    *) echo 2048 ;;
  esac
}

has_row() { # MODE FLOWS DESTINATIONS SCHEDULER BURST
  grep -q "^$1,$2,$3,$4,$5,pollux," "$csv"
}

measure() { # MODE FLOWS DESTINATIONS SCHEDULER BURST
  local mode=$1 flows=$2 each=$seconds settle=$warm check=6 one row
  one=$(mktemp -u)
  # a connection each for ten million: the first pass takes its time, and so does the memory for them.
  # new: the floor fills its table in a few seconds and is looked at for as long; Pollux is looked at when as many
  # connections end as come, which takes three.
  [ "$flows" -lt 10000000 ] || settle=$((warm + 4)) check=15
  [ "$mode" != new ] || { flows=60000000 each=$((seconds + 3)); }
  rm -f "$one"
  CSV=$one DESTINATIONS=$3 SCHEDULER=$4 BURST=$5 MEMORY_MB=$(memory_mb "$mode" "$flows") \
    SECONDS_EACH=$each WARM=$settle CHECK_S=$check \
    "$here/compare.sh" "$pollux" "$mode" "$flows" >>"$log" 2>&1 </dev/null || { rm -f "$one"; return 1; }
  [ -s "$csv" ] || head -1 "$one" >"$csv"
  # both lines at once; connections that come and go have no number of flows
  row=$(tail -n +2 "$one" | sed 's/^new,60000000,/new,0,/')
  printf '%s\n' "$row" >>"$csv"
  rm -f "$one"
  printf '%s\n' "$row" | awk -F, '{ printf "%s %s ns  ", $6, $7 } END { print $8 " times the floor" }'
}

estimate_s() { # MODE FLOWS
  local pair=$((2 * (seconds + warm) - 2))
  case $1 in new) pair=$((2 * (seconds + 3 + 2) - 2)) ;; esac
  [ "$2" -lt 10000000 ] || pair=$((pair + 12))
  echo $((8 + ROUNDS * (pair + 1)))
}

mkdir -p "$(dirname "$csv")"
: >"$log"
touch "$csv"
if [ "$(cat /proc/sys/vm/nr_hugepages)" -lt "${PAGES:-3600}" ]; then
  "$root/scripts/hugepages.sh" "${PAGES:-3600}" || say "fewer huge pages than wanted: rows with many flows may fail or be slow"
fi
began=$SECONDS missing=() failed=()
while read -r mode flows dests scheduler burst; do
  row="$mode $flows $dests $scheduler $burst"
  [[ $row =~ ${ONLY:-.} ]] && [ "$flows" -le "$flows_max" ] || continue
  if has_row $row; then continue; fi
  if [ $((SECONDS - began + $(estimate_s "$mode" "$flows"))) -gt "$budget" ]; then missing+=("$row"); continue; fi
  echo "== $row" >>"$log"
  printf '%-28s ' "$row"
  measure $row || { echo "failed: see $log"; failed+=("$row"); }
done < <(rows)
say "$((SECONDS - began)) s; rows in $csv: $(grep -c ,pollux, "$csv" || true)"
[ ${#missing[@]} -eq 0 ] || say "no time left for: $(printf '%s; ' "${missing[@]}")run it again"
[ ${#failed[@]} -eq 0 ] || die "failed: $(printf '%s; ' "${failed[@]}")run it again to measure them"
