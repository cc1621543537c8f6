#!/bin/bash
# Makes what the guests of the lab boot, in the cache folder given as $1:
#   kernel/vmlinux      Debian's own kernel, unpacked from its package: qemu starts it
#                       directly (PVH), and nothing is decompressed under emulation
#   kernel/lib/modules  the modules that a server may need, with depmod's lists
#   modules.list        those that are loaded before the root is there, in order
#   root.img            a read-only ext4 root with LVM, systemd and what tests need
#   root.list           the packages that were asked for in it
# What is there is not made again. Needs root, Debian's packages, and some 700 MB.
set -euo pipefail
cache=$1
tmp=
trap '[ -z "$tmp" ] || rm -rf --one-file-system "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
exec 9>"$cache/lock"
flock 9 # another one may be building
log() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

need() { # need COMMAND PACKAGE
	command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] && return
	log "installing $2"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$2" >"$cache/apt.log" 2>&1 || { cat "$cache/apt.log"; exit 1; }
}

tools() {
	[ -n "$(apt-cache policy linux-image-amd64 2>/dev/null | grep Candidate)" ] || apt-get update -qq >/dev/null
	need mmdebstrap mmdebstrap
	need qemu-system-x86_64 qemu-system-x86
	need xz xz-utils
	need lz4 lz4
	need depmod kmod
	need mkfs.ext4 e2fsprogs
}

kernel() {
	local pkg bz pos spec ver src d
	pkg=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
	log "kernel: $pkg"
	tmp=$(mktemp -d "$cache/k.XXXXXX")
	(cd "$tmp" && apt-get download -o APT::Sandbox::User=root "$pkg" >/dev/null && dpkg -x ./*.deb x)
	bz=$(ls "$tmp"/x/boot/vmlinuz-*)
	# The compressed kernel inside: try each place where a stream may begin.
	for spec in '\xfd7zXZ\x00|xz -dc --single-stream' '\x02\x21\x4c\x18|lz4 -dc' '\x28\xb5\x2f\xfd|zstd -dc'; do
		for pos in $(LC_ALL=C grep -aboP "${spec%%|*}" "$bz" | cut -d: -f1); do
			tail -c+$((pos + 1)) "$bz" | ${spec#*|} >"$tmp/vmlinux" 2>/dev/null || true
			[ "$(head -c4 "$tmp/vmlinux" | tail -c3)" = ELF ] && break 2
		done
	done
	[ "$(head -c4 "$tmp/vmlinux" | tail -c3)" = ELF ] || { echo "no kernel found in $pkg"; exit 1; }
	ver=$(ls "$tmp/x/lib/modules")
	src=$tmp/x/lib/modules/$ver
	mkdir -p "$tmp/out/lib/modules/$ver/kernel"
	cp "$src"/modules.{builtin,builtin.modinfo,order} "$tmp/out/lib/modules/$ver/"
	for d in arch crypto fs/{ext4,jbd2,mbcache.ko,overlayfs,xfs,fat,nls,configfs,fuse} block kernel lib net/{core,ipv4,ipv6,netfilter,packet,8021q,bridge,sched,802,llc,netlink} \
		drivers/{block,char,dax,md,nvdimm,target,virtio,watchdog,dma} drivers/scsi/device_handler \
		drivers/net/{dummy.ko,veth.ko,virtio_net.ko,net_failover.ko,macvlan.ko,vrf.ko,bonding} drivers/input/evdev.ko; do
		[ -e "$src/kernel/$d" ] || continue
		mkdir -p "$tmp/out/lib/modules/$ver/kernel/$(dirname "$d")"
		cp -r "$src/kernel/$d" "$tmp/out/lib/modules/$ver/kernel/$(dirname "$d")/"
	done
	for d in "$src"/kernel/drivers/scsi/*.ko; do
		mkdir -p "$tmp/out/lib/modules/$ver/kernel/drivers/scsi"
		cp "$d" "$tmp/out/lib/modules/$ver/kernel/drivers/scsi/"
	done
	depmod -b "$tmp/out" "$ver"
	mv "$tmp/vmlinux" "$tmp/out/vmlinux"
	rm -rf "$cache/kernel"
	mv "$tmp/out" "$cache/kernel"
	rm -rf "$tmp"
	for d in virtio_pci virtio_blk virtio_console ext4 overlay virtio_net virtio_scsi sd_mod sg dm_mod i6300esb virtio_rng configfs; do
		modprobe -d "$cache/kernel" -S "$ver" --show-depends "$d" | sed -n "s,^insmod $cache/\([^ ]*\).*,\1,p"
	done | awk '!seen[$0]++' >"$cache/modules.list"
	[ "$(wc -l <"$cache/modules.list")" -gt 10 ] || { echo "modules are missing in $pkg"; exit 1; }
	log "kernel: $ver, modules $(du -sm "$cache/kernel/lib" | cut -f1) MB"
}

packages=lvm2,e2fsprogs,xfsprogs,iproute2,iputils-ping,util-linux,procps,psmisc,kmod,sg3-utils,lsscsi,open-iscsi,nftables,systemd,systemd-sysv,dbus,ifupdown

root() {
	local mb
	tmp=$(mktemp -d "$cache/r.XXXXXX")
	chmod 755 "$tmp"
	log "root: installing $packages"
	mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
		--aptopt='Acquire::Languages "none"' \
		"$(. /etc/os-release; echo "$VERSION_CODENAME")" "$tmp/root" $(ls /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources 2>/dev/null)
	rm -rf "$tmp"/root/var/cache/apt/* "$tmp"/root/var/lib/apt/lists/* "$tmp/root/usr/lib/modules"
	mkdir -p "$tmp/root/usr/lib/modules"
	cp -r "$cache/kernel/lib/modules/." "$tmp/root/usr/lib/modules/"
	: >"$tmp/root/etc/fstab"
	mb=$(($(du -sm "$tmp/root" | cut -f1) * 110 / 100 + 30))
	truncate -s "${mb}M" "$tmp/img"
	mkfs.ext4 -q -O ^has_journal -m 0 -d "$tmp/root" "$tmp/img"
	mv "$tmp/img" "$cache/root.img"
	echo "$packages" >"$cache/root.list"
	rm -rf "$tmp"
	log "root: $mb MB"
}

tools
[ -f "$cache/kernel/vmlinux" ] && [ -f "$cache/modules.list" ] || kernel
[ -f "$cache/root.img" ] && [ "$(cat "$cache/root.list" 2>/dev/null)" = "$packages" ] || root
