#!/usr/bin/env bash
# bench.sh [instructions [PART...]] [times [PART]] [--bless]: what the director's own work costs, without DPDK or root.
#
#   instructions  instructions a packet, counted by callgrind and held against benches/instructions.txt; fails when one
#                 grew by more than 5 %;  bench.sh instructions dr  counts the workloads with dr in their names
#   times         criterion's medians, nanoseconds a packet;  bench.sh times look-up  runs those with look-up in theirs
#   --bless       takes the instructions as they are now as the new baseline
#
# Without words: instructions, then times. PROFILE=lab builds faster and counts higher: only to see where things go.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

case " $* " in *" -h "* | *" --help "*) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit ;; esac
cd "$root"
find_cargo || die "no cargo found; install Rust with rustup (https://rustup.rs)"
bench=(cargo bench --quiet --no-default-features)
[ -z "${PROFILE:-}" ] || bench+=(--profile "$PROFILE")

instructions() {
  command -v valgrind >/dev/null || die "no valgrind here: scripts/install-deps.sh test"
  say "instructions a packet"
  "${bench[@]}" --bench instructions -- "$@"
}

times() {
  local before
  before=$(mktemp)
  say "nanoseconds a packet"
  "${bench[@]}" --bench stages --bench director --bench schedulers --bench growth -- --quiet "$@" >&2
  medians "$before"
  rm -f "$before"
}

# of what criterion has measured since FILE was made
medians() { # FILE
  python3 - "$(target_dir)/criterion" "$1" <<'P'
import json, pathlib, sys
folder, since = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).stat().st_mtime
rows = []
for path in folder.glob("**/new/estimates.json"):
    if path.stat().st_mtime < since: continue
    about = json.loads(path.with_name("benchmark.json").read_text())
    packets = (about["throughput"] or {}).get("Elements", 1)
    median = json.loads(path.read_text())["median"]
    rows.append((about["full_id"], *(x / packets for x in (median["point_estimate"], *list(median["confidence_interval"].values())[1:])))
    )
print(f"{'':<44} {'median':>10} {'95 % within':>23}")
for name, median, low, high in sorted(rows): print(f"{name:<44} {median:10.2f} {low:11.2f} {high:11.2f}")
P
}

bless=() parts=()
for word in "$@"; do
  case $word in
    --bless) bless=(--bless) ;;
    *) parts+=("$word") ;;
  esac
done
what=${parts[0]:-}
case $what in
  instructions) instructions "${parts[@]:1}" "${bless[@]}" ;;
  times) times "${parts[@]:1}" ;;
  "")
    instructions "${bless[@]}"
    [ ${#bless[@]} -gt 0 ] || times
    ;;
  *) die "no part $what; there are: instructions times" ;;
esac
