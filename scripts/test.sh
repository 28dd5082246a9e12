#!/usr/bin/env bash
# test.sh [unit] [loom] [valgrind] [nic] [lab [UNITTEST OPTIONS]]: installs what the tests need and runs them, as root on
# Debian 12.
#
#   unit      cargo test: no privileges used
#   loom      what several threads share, in every order of events
#   valgrind  the packet path's own tests under valgrind, without DPDK
#   nic       Pollux on PCI NICs, as QEMU emulates them (scripts/nic-lab.sh)
#   lab       Pollux between real kernels, in network namespaces;  test.sh lab -k ping  runs what has ping in its name
#
# Without words: all five, in this order.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

case " $* " in *" -h "* | *" --help "*) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit ;; esac
cd "$root"
[ $# -gt 0 ] || set -- unit loom valgrind nic lab

unit() {
  say "cargo test"
  cargo test --workspace --quiet
}

loom() {
  say "every order of events"
  # in a folder of its own: the flag is one of every crate's
  RUSTFLAGS="--cfg loom" CARGO_PROFILE_DEV_DEBUG=0 \
    cargo test --quiet --lib --no-default-features --target-dir "$(target_dir)/loom" loom_tests
}

valgrind() {
  say "the packet path under valgrind"
  # some 30 times slower: fewer cases a property. What is only "possibly lost" is the test harness's own.
  export PROPTEST_CASES=${PROPTEST_CASES:-4}
  cargo test --quiet --lib --no-default-features --no-run
  # valgrind runs one thread at a time: two of them use two cores. A process group of its own can be ended as a whole.
  local others result=0
  set -m
  under_valgrind --skip dataplane:: wire:: model:: tables:: sched:: &
  others=$!
  set +m
  trap "kill -- -$others 2>/dev/null" EXIT
  under_valgrind dataplane:: || result=$?
  wait $others || result=$?
  trap - EXIT
  return $result
}

under_valgrind() {
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind --quiet --error-exitcode=1 \
    --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite" \
    cargo test --quiet --lib --no-default-features -- "$@"
}

nic() {
  need_root
  "$root/scripts/nic-lab.sh"
}

lab() {
  need_root
  say "building pollux for the lab"
  cargo build --quiet --profile lab --bin pollux
  say "Pollux in network namespaces"
  POLLUX=$(target_dir)/lab/pollux PYTHONDONTWRITEBYTECODE=1 \
    python3 -m unittest discover --start-directory tests/lab "$@"
}

"$root/scripts/install-deps.sh" build test
find_cargo
while [ $# -gt 0 ]; do
  part=$1
  shift
  case $part in
    unit | loom | valgrind | nic) $part ;;
    lab) lab "$@"; break ;;
    *) die "no part $part; there are: unit loom valgrind nic lab" ;;
  esac
done
say "all tests passed"
