# What the scripts share: messages, packages, the Rust toolchain. Sourced, never run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '==> %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "this needs root: try  sudo $0"; }

is_installed() { # PACKAGE or PACKAGE:COMMAND, where any package that brings COMMAND will do
  case $1 in
    *:*) PATH=$PATH:/usr/sbin:/sbin command -v "${1#*:}" >/dev/null && return ;;
  esac
  [ "$(dpkg-query -W -f '${db:Status-Status}' "${1%%:*}" 2>/dev/null)" = installed ]
}

missing() { # PACKAGE...: those that are not installed, one a line
  local p
  for p in "$@"; do is_installed "$p" || echo "${p%%:*}"; done
}

# apt, but no service that a package brings (nginx) may start here, now or at the next boot
apt_install() {
  need_root
  command -v apt-get >/dev/null || die "no apt-get here. Install what these Debian packages hold, then run this again: $*"
  ( # a subshell: its EXIT trap is its own
    exec 9>/run/lock/pollux-install.lock
    flock 9
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
      trap 'rm -f '$policy EXIT
      trap 'exit 130' INT TERM HUP
      printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy # 101: action forbidden by policy
    fi
    had_nginx=$(dpkg-query -W -f '${db:Status-Status}' nginx 2>/dev/null || true)
    export DEBIAN_FRONTEND=noninteractive
    apt="apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0"
    # package lists that are absent or stale show as a failed install
    $apt install -y --no-install-recommends "$@" >/dev/null 2>&1 </dev/null ||
      { $apt update && $apt install -y --no-install-recommends "$@" >/dev/null </dev/null; } 9>&- ||
      exit 1
    if [ "$had_nginx" != installed ] && [ -d /run/systemd/system ]; then
      systemctl disable --quiet nginx 2>/dev/null || true
    fi
  ) || die "could not install: $*"
}

# The oldest Rust that builds Pollux; Cargo.toml is where it is said.
rust_version() { sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$root/Cargo.toml" | head -1; }

cargo_is_new_enough() { # CARGO
  local have
  have=$("$1" --version 2>/dev/null | cut -d' ' -f2) && [ -n "$have" ] &&
    [ "$(printf '%s\n' "$(rust_version)" "${have%%-*}" | sort -V | head -1)" = "$(rust_version)" ]
}

# Puts a good cargo first in PATH: the one there, rustup's, or that of the user who called sudo.
find_cargo() {
  local home bin candidate
  candidate=$(command -v cargo || true)
  if [ -n "$candidate" ] && cargo_is_new_enough "$candidate"; then return; fi
  for bin in "${CARGO_HOME:-$HOME/.cargo}/bin" "$HOME/.cargo/bin"; do
    if [ -x "$bin/cargo" ] && cargo_is_new_enough "$bin/cargo"; then PATH=$bin:$PATH; return; fi
  done
  [ -n "${SUDO_USER:-}" ] || return 1
  home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
  # its toolchains are read; crates go into our own ~/.cargo, so that no file of root's is left in theirs
  if [ -x "$home/.cargo/bin/cargo" ] && RUSTUP_HOME=$home/.rustup cargo_is_new_enough "$home/.cargo/bin/cargo"; then
    export RUSTUP_HOME=$home/.rustup PATH=$home/.cargo/bin:$PATH
    return
  fi
  return 1
}

need_cargo() {
  if find_cargo; then return; fi
  say "no cargo ≥ $(rust_version) found (rustup's would do: https://rustup.rs); taking Debian's rustc-web and cargo-web"
  apt_install rustc-web cargo-web
  hash -r
  find_cargo || die "cargo is still older than $(rust_version). Install Rust with rustup (https://rustup.rs), then run this again."
}

need_lints() { # rustfmt and clippy, from where cargo came
  if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then return; fi
  if command -v rustup >/dev/null; then
    rustup component add rustfmt clippy
  else
    apt_install rustfmt-web rust-web-clippy
  fi
}

target_dir() { echo "${CARGO_TARGET_DIR:-$root/target}"; }
