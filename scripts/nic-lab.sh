#!/usr/bin/env bash
# nic-lab.sh [DRIVER ...]: Pollux on PCI NICs as QEMU emulates them, through DPDK's own drivers for them.
#
# As root on Debian 12. Boots a small Linux (Debian's kernel, an initramfs made here) in QEMU without KVM, with an
# emulated IOMMU, gives the NICs to vfio-pci, runs Pollux on them and passes frames through it, each looked at byte by
# byte. Prints a line a driver and method, and what  pollux show ports  says. No NIC of this machine's is touched.
#
#   nic-lab.sh                all drivers, in one guest
#   nic-lab.sh e1000 vmxnet3  only these
#   nic-lab.sh --list         the drivers there are
#
# When something fails, the guest's and Pollux's logs are kept and named. The kernel is unpacked, not installed, in
# ${XDG_CACHE_HOME:-~/.cache}/pollux/kernel; remove that to get the newest one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/pollux
modules="irqbypass vfio vfio_virqfd vfio_iommu_type1 vfio-pci-core vfio-pci"
drivers="mempool_ring bus_pci bus_vdev net_e1000 net_vmxnet3 net_virtio" # DPDK's that the guest gets

# Debian's smallest kernel package, unpacked; what it depends on is for installing it.
fetch_kernel() {
  local package part
  if [ -e "$cache/kernel/boot" ]; then return; fi
  find_package || { apt-get -qq update && find_package; } || die "apt knows no linux-image-cloud-amd64"
  say "fetching $package, the guest's kernel"
  mkdir -p "$cache"
  part=$(mktemp -d "$cache/kernel.XXXXXX")
  trap 'rm -rf "$part"' EXIT
  cd "$part"
  # package lists that are stale show as a failed download
  apt-get -qq download "$package" 2>/dev/null ||
    { apt-get -qq update && find_package && apt-get -qq download "$package"; } || die "could not download $package"
  cd "$root"
  dpkg -x "$part"/*.deb "$part" && rm "$part"/*.deb
  # whoever comes first
  mv -T "$part" "$cache/kernel" 2>/dev/null || rm -rf "$part"
  trap - EXIT
}

find_package() {
  package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p')
  [ -n "$package" ]
}

# -- the initramfs: Pollux, its scripts, bash for them, busybox for everything else

keep() { # FILE: a copy at its own place below $tree, with what it is a link to; /lib is a link to usr/lib there, too
  local file=$1 target
  file=$(realpath "$(dirname "$file")")/$(basename "$file")
  [ ! -e "$tree$file" ] || return 0
  mkdir -p "$tree$(dirname "$file")"
  cp -P "$file" "$tree$file"
  [ -L "$file" ] || return 0
  # link by link: EAL would load a driver that lay there twice as two
  target=$(readlink "$file")
  case $target in /*) keep "$target" ;; *) keep "$(dirname "$file")/$target" ;; esac
}

libraries_of() { # PROGRAM OR LIBRARY...
  ldd "$@" | sed -n 's/^\t\(.* => \)\{0,1\}\(\/.*\) (0x.*/\2/p' | sort -u
}

driver_dir() { echo "$(pkg-config --variable=libdir libdpdk)"/dpdk/pmds-*; }

make_initramfs() { # POLLUX OUT
  local pollux=$1 out=$2 version module path name
  local files=("$(command -v bash)")
  tree=$(mktemp -d "$(dirname "$out")/tree.XXXXXX")
  trap 'rm -rf "$tree"' EXIT
  mkdir -p "$tree"/usr/{bin,sbin,lib,lib64} "$tree/pollux/scripts"
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$tree/$name"; done
  mkdir "$tree/var" && ln -s ../run "$tree/var/run"
  cp "$root/scripts/nic-lab-init" "$tree/init"
  cp "$root"/scripts/{lib,bind-nic,hugepages}.sh "$tree/pollux/scripts"
  cp -L "$(command -v busybox)" "$tree/usr/bin/busybox"
  strip -o "$tree/usr/bin/pollux" "$pollux"
  for name in $drivers; do files+=("$(driver_dir)/librte_$name".so.*); done
  for path in "${files[@]}" $(libraries_of "$pollux" "${files[@]}"); do keep "$path"; done
  version=$(ls "$cache/kernel/lib/modules")
  for module in $modules; do
    path=$(find "$cache/kernel/lib/modules" -name "$module.ko*" -printf %P)
    [ -n "$path" ] || continue # newer kernels have some of them within others
    mkdir -p "$tree/lib/modules/$(dirname "$path")"
    cp "$cache/kernel/lib/modules/$path" "$tree/lib/modules/$path"
  done
  cp "$cache/kernel/lib/modules/$version"/modules.{order,builtin} "$tree/lib/modules/$version/"
  busybox depmod -b "$tree" "$version"
  # uncompressed: the guest would take longer to unpack it than QEMU takes to read it
  (cd "$tree" && find . | cpio --quiet --create --format=newc --owner=0:0) >"$tree.cpio"
  mv "$tree.cpio" "$out"
  rm -rf "$tree"
  trap - EXIT
}

case " $* " in
  *" -h "* | *" --help "*) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit ;;
esac
need_root
"$root/scripts/install-deps.sh" build nic
export PYTHONDONTWRITEBYTECODE=1
names=$(python3 "$root/scripts/nic_lab.py" --list)
for name in "$@"; do
  if [ "$name" = --list ]; then echo "$names"; exit; fi
  grep -qxF -e "$name" <<<"$names" || die "no driver $name; there are: ${names//$'\n'/ }"
done
find_cargo
work=$(target_dir)/nic-lab
mkdir -p "$work"
fetch_kernel
say "building pollux for the lab"
(cd "$root" && cargo build --quiet --profile lab --bin pollux)
make_initramfs "$(target_dir)/lab/pollux" "$work/initramfs"
exec python3 "$root/scripts/nic_lab.py" \
  --kernel "$(echo "$cache"/kernel/boot/vmlinuz-*)" --initramfs "$work/initramfs" --logs "$work" "$@"
