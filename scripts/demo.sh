#!/usr/bin/env bash
# demo.sh [nat] [dr] [tun] [--keep]: the LVS tutorial, played by Pollux on this machine.
#
# As root on Debian 12: installs packages, builds Pollux, makes a lab of network namespaces (a client, a director,
# three real servers with nginx) and balances real HTTP over it by NAT, direct routing and tunnelling. No huge pages,
# no NIC needed. Everything is removed at the end, also after Ctrl-C; --keep leaves the lab up and says what to type.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

case " $* " in *" -h "* | *" --help "*) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit ;; esac
need_root
"$root/scripts/install-deps.sh" build demo
find_cargo
say "building pollux (the first time takes a few minutes)"
(cd "$root" && cargo build --quiet --release --bin pollux)
POLLUX=$(target_dir)/release/pollux exec python3 "$root/scripts/demo.py" "$@"
