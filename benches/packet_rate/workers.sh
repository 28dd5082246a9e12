#!/usr/bin/env bash
# workers.sh: what a second worker brings, and what handing packets over costs.
#
#   benches/packet_rate/workers.sh PATH_TO_POLLUX [FLOWS ...]
#
# Established connections, direct routing, one net_null port with flowgen's packets (compare.sh), in turn, several rounds:
#   one      one worker on core 1, the control thread there, too
#   aligned  two workers on cores 0 and 1, a queue each; packets arrive at their owners (rss=client)
#   random   the same, and packets arrive anywhere: half of them are handed over
# ns is workers / total rate: a packet's time with everything, the port's own work and the source's included. `elsewhere`:
# the share of packets that came to another worker than theirs, at the end.
# As root, with 2 MiB huge pages, two cores and Debian's dpdk, libdpdk-dev, gcc.
# From outside: ROUNDS (3), SECONDS_EACH (6), WARM (6), MEMORY_MB (512).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pollux=$(realpath "${1:?usage: workers.sh PATH_TO_POLLUX [FLOWS ...]}")
shift
flows_list=("$@"); [ ${#flows_list[@]} -gt 0 ] || flows_list=(4096 1000000)
rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-6} warm=${WARM:-6} memory=${MEMORY_MB:-512}

# EAL refuses plug-ins below a world-writable folder
build=${XDG_CACHE_HOME:-$HOME/.cache}/pollux-perf
mkdir -p "$build"; chmod 700 "$build"; rm -f "$build"/workers.*
# shellcheck disable=SC2046
[ "$build/flowgen.so" -nt "$here/flowgen.c" ] ||
  gcc -O3 -march=native -w $(pkg-config --cflags libdpdk) -shared -fPIC "$here/flowgen.c" -o "$build/flowgen.so" \
    $(pkg-config --libs libdpdk) -lpthread
mount | grep -q hugetlbfs || { mkdir -p /dev/hugepages; mount -t hugetlbfs none /dev/hugepages; }

config() { # CORES FLOWS
  cat <<T
[dpdk]
eal_args = ["--no-pci", "--file-prefix", "perf", "-m", "$memory", "-d", "$build/flowgen.so", "--vdev", "net_null0,size=60"]

[workers]
cores = [$1]

[connections]
capacity_per_worker = $(($2 * 2 + 100000))

[[port]]
name = "client"
device = "net_null0"
addresses = ["192.0.2.254/24", "10.1.255.254/16"]

[[route]]
prefix = "100.64.0.0/10"
via = "192.0.2.253"

[[neighbour]]
port = "client"
address = "192.0.2.253"
mac = "02:00:00:00:00:02"

[[service]]
protocol = "tcp"
address = "192.0.2.1:80"
T
  for i in 1 2 3 4; do
    printf '\n[[service.destination]]\naddress = "10.1.0.%s:80"\nforward = "dr"\n' $i
    printf '\n[[neighbour]]\nport = "client"\naddress = "10.1.0.%s"\nmac = "02:00:00:01:00:0%s"\n' $i $i
  done
}

play() { # WHAT CORES KEYS FLOWS
  local what=$1 cores=$2 log="$build/workers.log" only=0,1
  config "$cores" "$4" >"$build/workers.toml"
  [ "$what" = one ] && only=1
  rm -f "$log"
  FLOWGEN_LOG=$log FLOWGEN="0:gen,flows=$4$3" taskset -c $only "$pollux" run --config "$build/workers.toml" --socket "$build/workers.sock" \
    >"$log.out" 2>&1 </dev/null &
  pid=$!
  local share
  trap 'kill $pid 2>/dev/null || true' EXIT
  sleep $((seconds + warm))
  share=$("$pollux" show ports --json --socket "$build/workers.sock" 2>/dev/null | python3 -c '
import json, sys
(port,) = json.load(sys.stdin)
print(port["elsewhere"], port["steering"].replace(" ", "_"))' || echo "- -")
  kill $pid; wait $pid || true
  trap - EXIT
  python3 - "$log" "$what" "$share" "$seconds" <<'P' >>"$build/workers.$4.rows"
import json, statistics, sys
log, what, share, seconds = sys.argv[1:]
lines = [json.loads(line) for line in open(log)]
if not any(line["warm"] for line in lines): sys.exit(f"{log}: its flows did not all begin; see {log}.out")
rate = statistics.median(line["rx_mpps"] for line in lines[-int(seconds) + 1:-1])
print(what, rate, share)
P
}

printf '%-9s %-8s %9s %8s %s\n' flows workers rx_mpps ns elsewhere
for flows in "${flows_list[@]}"; do
  for ((round = 0; round < rounds; round++)); do
    play one 1 "" "$flows"
    play aligned "0, 1" ",rss=client" "$flows"
    play random "0, 1" "" "$flows"
  done
  python3 - "$build/workers.$flows.rows" "$flows" <<'P'
import statistics, sys
rows = [line.split() for line in open(sys.argv[1])]
rates = {}
for what in ("one", "aligned", "random"):
    mine = [row for row in rows if row[0] == what]
    rates[what] = rate = statistics.median(float(row[1]) for row in mine)
    workers = 1 if what == "one" else 2
    print(f"{sys.argv[2]:<9} {what:<8} {rate:9.2f} {workers * 1000 / rate:8.1f} {mine[-1][2]} {mine[-1][3]}")
print(f"{sys.argv[2]:<9} two workers, aligned: {rates['aligned'] / rates['one']:.2f} times one;"
      f" at random {2000 / rates['random'] - 2000 / rates['aligned']:+.1f} ns a packet")
P
done
