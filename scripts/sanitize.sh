#!/usr/bin/env bash
# sanitize.sh [address] [valgrind]: runs the library's own tests, without DPDK, under AddressSanitizer (with leak
# checking; needs a nightly Rust), and those of the packet path under valgrind memcheck (installed, as root, if it is
# missing). Without words: both.
#
# PROPTEST_CASES (16 and 2 if not set) is how many cases a property test tries; both are many times slower than usual.
# The standard library is not instrumented when nightly's rust-src is missing: its own accesses go unchecked then, ours not.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

case " $* " in *" -h "* | *" --help "*) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit ;; esac
cd "$root"
[ $# -gt 0 ] || set -- address valgrind
find_cargo || die "no cargo found; install Rust with rustup (https://rustup.rs)"

address() {
  cargo +nightly --version >/dev/null 2>&1 || die "no nightly Rust: rustup toolchain install nightly"
  local target std=()
  target=$(rustc +nightly -vV | sed -n 's/^host: //p')
  if [ -d "$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library" ]; then
    std=(-Zbuild-std)
    say "AddressSanitizer, the standard library included"
  else
    say "AddressSanitizer, without the standard library (rustup component add rust-src --toolchain nightly adds it)"
  fi
  # --target keeps build scripts and macros uninstrumented; the flags replace those of .cargo/config.toml
  RUSTFLAGS="-Zsanitizer=address -C target-cpu=x86-64-v2 -C debug-assertions=on" \
    PROPTEST_CASES=${PROPTEST_CASES:-16} \
    cargo +nightly test --quiet --lib --no-default-features --target "$target" "${std[@]}" \
    --target-dir "$(target_dir)/address"
}

valgrind() {
  PROPTEST_CASES=${PROPTEST_CASES:-2} "$root/scripts/test.sh" valgrind
}

for part in "$@"; do
  case $part in
    address | valgrind) "$part" ;;
    *) die "no part $part; there are: address valgrind" ;;
  esac
done
say "nothing found"
