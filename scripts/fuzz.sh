#!/usr/bin/env bash
# fuzz.sh [SECONDS [TARGET...]]: fuzzes every target of fuzz/ (or those named) for SECONDS each (60 if not said) under
# AddressSanitizer, and fails when one crashes, hangs or breaks an assertion. Needs no root.
#
# Needs a nightly Rust (rustup toolchain install nightly) and a C++ compiler; cargo-fuzz is installed if it is missing.
# What a run finds worth keeping goes to fuzz/target/corpus, and is a start for the next one; fuzz/corpus is what all
# runs start from. To make it anew, smaller, from both:  fuzz.sh --shrink
# New recordings:  scripts/fuzz-seeds.py fuzz/target/corpus/process
set -euo pipefail
. "$(dirname "$0")/lib.sh"

case " $* " in *" -h "* | *" --help "*) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit ;; esac
cd "$root"
find_cargo || die "no cargo found; install Rust with rustup (https://rustup.rs)"
cargo +nightly --version >/dev/null 2>&1 || die "no nightly Rust: rustup toolchain install nightly"
if ! cargo fuzz --version >/dev/null 2>&1; then
  say "installing cargo-fuzz"
  cargo install --quiet --locked cargo-fuzz
fi

# what the kernel calls a jumbo frame is more than enough; long inputs from the start, as short ones say little
options=(-max_len=4096 -len_control=0 -timeout=10 -rss_limit_mb=4096)

run() { # TARGET SECONDS
  local found=fuzz/target/corpus/$1
  mkdir -p "$found" "fuzz/corpus/$1"
  say "fuzzing $1 for $2 s"
  cargo +nightly fuzz run "$1" "$found" "fuzz/corpus/$1" -- "${options[@]}" -max_total_time="$2" -print_final_stats=1 \
    2>"fuzz/target/$1.log" || { tail -40 "fuzz/target/$1.log" >&2; return 1; }
  grep -E '^(#[0-9]+[[:space:]]+DONE|stat::(number_of_executed|average_exec))' "fuzz/target/$1.log" >&2
}

shrink() { # TARGET
  local small=fuzz/target/shrunk/$1
  rm -rf "$small" && mkdir -p "$small" "fuzz/target/corpus/$1"
  # a few inputs that reach everything, rather than the smallest for each thing
  cargo +nightly fuzz run "$1" "$small" "fuzz/corpus/$1" "fuzz/target/corpus/$1" -- "${options[@]}" -set_cover_merge=1 2>/dev/null
  [ "$1" != process ] || scripts/fuzz-seeds.py --missing "$small"
  rm -rf "fuzz/corpus/$1" && mv "$small" "fuzz/corpus/$1"
  say "fuzz/corpus/$1: $(find "fuzz/corpus/$1" -type f | wc -l) inputs, $(du -sh --apparent-size "fuzz/corpus/$1" | cut -f1)"
}

mapfile -t targets < <(sed -n 's/^name = "\(.*\)"/\1/p' fuzz/Cargo.toml | tail -n +2)
if [ "${1:-}" = --shrink ]; then
  for target in "${targets[@]}"; do shrink "$target"; done
  exit
fi
seconds=${1:-60}
[ $# -le 1 ] || targets=("${@:2}")
failed=()
for target in "${targets[@]}"; do
  run "$target" "$seconds" || failed+=("$target")
done
[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}; what made them fail is in fuzz/artifacts"
say "nothing found"
