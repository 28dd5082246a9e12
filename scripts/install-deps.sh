#!/usr/bin/env bash
# install-deps.sh [build] [demo] [test] [nic] [lint]: installs what Pollux needs on Debian 12, as root.
#
#   build  DPDK with its headers, libclang for bindgen, a C compiler, Rust
#   demo   what scripts/demo.sh and the network-namespace lab use
#   test   what scripts/test.sh uses besides
#   nic    what scripts/nic-lab.sh uses: QEMU, and what the guest is made of (its kernel is not installed)
#   lint   rustfmt and clippy
#
# Without words: build, demo, test and nic. It calls apt only when something is missing, and leaves no service running.
# Rust: a cargo that is new enough in PATH or in ~/.cargo/bin is taken; otherwise Debian's rustc-web and cargo-web
# (Debian 12's plain rustc is too old).
set -euo pipefail
. "$(dirname "$0")/lib.sh"

build=(gcc:gcc libc6-dev pkg-config:pkg-config libdpdk-dev dpdk libclang-dev ca-certificates)
demo=(iproute2:ip ethtool:ethtool nginx-light:nginx curl:curl python3:python3 iputils-ping:ping tcpdump:tcpdump wrk:wrk)
test=(valgrind:valgrind)
# binutils: strip
nic=(qemu-system-x86:qemu-system-x86_64 busybox-static cpio:cpio binutils:strip iproute2:ip python3:python3)

[ $# -gt 0 ] || set -- build demo test nic
wanted=()
for group in "$@"; do
  case $group in
    build) wanted+=("${build[@]}") ;;
    demo) wanted+=("${demo[@]}") ;;
    test) wanted+=("${demo[@]}" "${test[@]}") ;;
    nic) wanted+=("${nic[@]}") ;;
    lint) ;;
    *) die "no group $group; there are: build demo test nic lint" ;;
  esac
done

mapfile -t absent < <(missing "${wanted[@]}" | sort -u)
if [ ${#absent[@]} -gt 0 ]; then
  say "installing ${absent[*]}"
  apt_install "${absent[@]}"
fi
case " $* " in *" build "* | *" lint "*) need_cargo ;; esac
case " $* " in *" lint "*) need_lints ;; esac
