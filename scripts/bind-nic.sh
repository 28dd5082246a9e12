#!/usr/bin/env bash
# bind-nic.sh: gives PCI NICs to DPDK (the vfio-pci driver), and back to the kernel.
#
#   bind-nic.sh                                              shows the NICs, their drivers and who uses them
#   bind-nic.sh bind 0000:03:00.0... [--force] [--persist]   kernel → vfio-pci
#   bind-nic.sh back 0000:03:00.0... [--persist]             vfio-pci → the driver that the kernel has for it
#
# A NIC that has an address or carries a route is refused: it may be the one you are logged in over; --force takes it
# all the same. --persist also does so at every boot (a udev rule and vfio-pci in modules-load.d), or no longer does.
# NICs of one IOMMU group go together: vfio hands out whole groups. NVIDIA's mlx5 and mlx4 stay with the kernel's driver.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

sys=${SYSFS:-/sys} # other trees for trying this out
etc=${ETC:-/etc}
devices=$sys/bus/pci/devices

driver_of() { [ -e "$devices/$1/driver" ] && basename "$(readlink -f "$devices/$1/driver")" || echo none; }

interfaces_of() { # PCI: its network interfaces; a virtio card has them one level further down
  local path
  for path in "$devices/$1"/net/* "$devices/$1"/*/net/*; do
    [ ! -e "$path" ] || basename "$path"
  done
}

and_what_is_on_it() { # INTERFACE: itself, and the bonds, bridges and VLANs above it
  local path
  echo "$1"
  for path in "$sys/class/net/$1"/upper_*; do
    [ ! -e "$path" ] || basename "$path" | sed 's/^upper_//'
  done
}

class_of() { cat "$devices/$1/class" 2>/dev/null || true; }
is_nic() { [[ $(class_of "$1") == 0x02* ]]; } # PCI base class 02: network controllers

in_use() { # PCI: says why it must not be taken; silent when it may be
  local dev above
  for dev in $(interfaces_of "$1"); do
    for above in $(and_what_is_on_it "$dev"); do
      [ -z "$(ip -o route show default dev "$above" 2>/dev/null; ip -6 -o route show default dev "$above" 2>/dev/null)" ] ||
        { echo "$above carries the default route"; return; }
      # fe80:: comes by itself and says nothing
      ! ip -o address show dev "$above" 2>/dev/null | grep -E ' inet6? ' | grep -qv ' fe80:' ||
        { echo "$above has an address"; return; }
      [ -z "$(ip -o route show dev "$above" 2>/dev/null)" ] || { echo "$above carries a route"; return; }
    done
  done
}

mates_of() { # PCI: the others of its IOMMU group that keep vfio from it: bridges, and what nobody drives, do not
  local path mate
  for path in "$devices/$1"/iommu_group/devices/*; do
    mate=$(basename "$path")
    [ -e "$path" ] && [ "$mate" != "$1" ] && [[ $(class_of "$mate") != 0x06* ]] || continue
    case $(driver_of "$mate") in none | vfio-pci) ;; *) echo "$mate" ;; esac
  done
}

node_of() { cat "$devices/$1/numa_node" 2>/dev/null || echo -1; }

show() {
  local path pci
  for path in "$devices"/*; do
    pci=$(basename "$path")
    is_nic "$pci" || continue
    printf '%s  driver %-12s  node %2s  %-16s %s\n' \
      "$pci" "$(driver_of "$pci")" "$(node_of "$pci")" "$(interfaces_of "$pci" | tr '\n' ' ')" "$(in_use "$pci")"
  done
}

rebind() { # PCI DRIVER: an empty DRIVER means the kernel's own choice
  echo "$2" >"$devices/$1/driver_override"
  [ ! -e "$devices/$1/driver" ] || echo "$1" >"$devices/$1/driver/unbind"
  echo "$1" >"$sys/bus/pci/drivers_probe"
}

load_vfio() {
  [ -d "$sys/bus/pci/drivers/vfio-pci" ] || modprobe vfio-pci 2>/dev/null ||
    die "this kernel has no vfio-pci. On a bare machine load it (apt install linux-image-amd64)"
  # only a soft dependency of vfio, which not every modprobe follows (busybox's does not)
  modprobe vfio_iommu_type1 2>/dev/null || true
  # without an IOMMU, as in many virtual machines, vfio must be told that this is known
  if [ -z "$(ls -A "$sys/kernel/iommu_groups" 2>/dev/null)" ]; then
    local unsafe=$sys/module/vfio/parameters/enable_unsafe_noiommu_mode
    [ -w "$unsafe" ] || die "no IOMMU here (try intel_iommu=on or amd_iommu=on on the kernel's command line)"
    say "no IOMMU here: the NIC could write to any memory; switching vfio's no-IOMMU mode on"
    echo 1 >"$unsafe"
  fi
}

rule_of() { echo "$etc/udev/rules.d/10-pollux-${1//:/-}.rules"; }

remember() { # PCI: before udev loads the kernel's own driver (80-drivers.rules)
  mkdir -p "$etc/udev/rules.d" "$etc/modules-load.d"
  printf 'ACTION=="add", SUBSYSTEM=="pci", KERNEL=="%s", ATTR{driver_override}="vfio-pci"\n' "$1" >"$(rule_of "$1")"
  echo vfio-pci >"$etc/modules-load.d/pollux-vfio.conf"
  if [ -z "$(ls -A "$sys/kernel/iommu_groups" 2>/dev/null)" ]; then
    mkdir -p "$etc/modprobe.d"
    echo "options vfio enable_unsafe_noiommu_mode=1" >"$etc/modprobe.d/pollux-vfio.conf"
  fi
  say "$1: vfio-pci at every boot, by $(rule_of "$1")"
}

forget() { # PCI: with the last one goes what is common to all
  rm -f "$(rule_of "$1")"
  compgen -G "$etc/udev/rules.d/10-pollux-*.rules" >/dev/null ||
    rm -f "$etc/modules-load.d/pollux-vfio.conf" "$etc/modprobe.d/pollux-vfio.conf"
  say "$1: the kernel's driver at every boot"
}

check_nic() { # WORD
  [[ $1 =~ ^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$ ]] || die "$1 is no PCI address; one is: 0000:03:00.0"
  is_nic "$1" || die "$1 is not a network card here; $0 shows those there are"
}

check_may_bind() { # PCI
  local why mate left=()
  case $(driver_of "$1") in
    mlx5_core | mlx4_core) die "$1 stays with $(driver_of "$1"): DPDK's driver works through it; use it as it is" ;;
  esac
  why=$(in_use "$1")
  [ -z "$why" ] || [ -n "$force" ] || die "$1 stays with the kernel: $why. If you are sure: $0 bind $1 --force"
  for mate in $(mates_of "$1"); do
    case " ${nics[*]} " in *" $mate "*) ;; *) left+=("$mate") ;; esac
  done
  [ ${#left[@]} = 0 ] || die "$1 shares its IOMMU group with ${left[*]}, and vfio hands out whole groups: name them, too, if \
you can do without them: $0 bind ${nics[*]} ${left[*]}; or put the card into another slot"
}

bind_nics() {
  local pci
  for pci in "${nics[@]}"; do check_may_bind "$pci"; done
  load_vfio
  for pci in "${nics[@]}"; do
    [ "$(driver_of "$pci")" = vfio-pci ] || rebind "$pci" vfio-pci
    say "$pci: driver $(driver_of "$pci")"
    [ "$(driver_of "$pci")" = vfio-pci ] || die "$pci did not go to vfio-pci; the kernel's log (dmesg) says why"
    [ -z "$persist" ] || remember "$pci"
  done
}

back_nics() {
  local pci
  for pci in "${nics[@]}"; do
    rebind "$pci" ""
    [ -z "$persist" ] || forget "$pci"
    [ ! -e "$(rule_of "$pci")" ] || say "$pci goes to vfio-pci again at the next boot; $0 back $pci --persist ends that"
    say "$pci: driver $(driver_of "$pci")"
  done
}

usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; }

verb=${1:-show}
[ $# -eq 0 ] || shift
force='' persist='' nics=()
for word; do
  case $word in
    --force) force=1 ;;
    --persist) persist=1 ;;
    --help | -h) usage; exit ;;
    -*) usage >&2; exit 2 ;;
    *) nics+=("$word") ;;
  esac
done
case $verb in
  show) show; exit ;;
  bind | back) ;;
  --help | -h) usage; exit ;;
  *) usage >&2; exit 2 ;;
esac
[ "$sys" != /sys ] || need_root
[ ${#nics[@]} -gt 0 ] || die "which NIC? Its PCI address, as in: $0 $verb 0000:03:00.0"
for nic in "${nics[@]}"; do check_nic "$nic"; done
"${verb}_nics"
