#!/usr/bin/env bash
# bind-nic.sh: gives a PCI NIC to DPDK (the vfio-pci driver), and back to the kernel.
#
#   bind-nic.sh                              shows the NICs, their drivers and who uses them
#   bind-nic.sh bind 0000:03:00.0 [--force]  kernel → vfio-pci
#   bind-nic.sh back 0000:03:00.0            vfio-pci → the driver that the kernel has for it
#
# A NIC that has an address or carries a route is refused: it may be the one you are logged in over. --force takes it
# all the same. Nothing here survives a reboot.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

sys=${SYSFS:-/sys} # another tree for trying this out
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

is_nic() { [[ $(cat "$devices/$1/class" 2>/dev/null) == 0x02* ]]; } # PCI base class 02: network controllers

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

show() {
  local path pci
  for path in "$devices"/*; do
    pci=$(basename "$path")
    is_nic "$pci" || continue
    printf '%s  driver %-12s  %-16s %s\n' "$pci" "$(driver_of "$pci")" "$(interfaces_of "$pci" | tr '\n' ' ')" "$(in_use "$pci")"
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
  # without an IOMMU, as in many virtual machines, vfio must be told that this is known
  if [ -z "$(ls -A "$sys/kernel/iommu_groups" 2>/dev/null)" ]; then
    local unsafe=$sys/module/vfio/parameters/enable_unsafe_noiommu_mode
    [ -w "$unsafe" ] || die "no IOMMU here (try intel_iommu=on or amd_iommu=on on the kernel's command line)"
    say "no IOMMU here: the NIC could write to any memory; switching vfio's no-IOMMU mode on"
    echo 1 >"$unsafe"
  fi
}

pci=${2:-}
case ${1:-show} in
  show) show; exit ;;
  bind | back) ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
need_root
[[ $pci =~ ^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$ ]] || die "which NIC? Its PCI address, as in: $0 $1 0000:03:00.0"
is_nic "$pci" || die "$pci is not a network card here; $0 shows those there are"

if [ "$1" = bind ]; then
  why=$(in_use "$pci")
  [ -z "$why" ] || [ "${3:-}" = --force ] || die "$pci stays with the kernel: $why. If you are sure: $0 bind $pci --force"
  load_vfio
  rebind "$pci" vfio-pci
else
  rebind "$pci" ""
fi
say "$pci: driver $(driver_of "$pci")"
[ "$1" = back ] || [ "$(driver_of "$pci")" = vfio-pci ] || die "$pci did not go to vfio-pci; the kernel's log (dmesg) says why"
