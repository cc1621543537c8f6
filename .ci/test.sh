#!/usr/bin/env bash
# Installs what the tests need and is missing, runs every check, cheapest first,
# and closes with the number of tests that ran. As root nothing may be skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

need=() # Debian packages, each named by a program it brings
want() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || need+=("$2"); }
want mkfs.ext4 e2fsprogs
want mkfs.xfs xfsprogs
want ip iproute2
want nft nftables
want nsenter util-linux
want fence_dummy fence-agents
want keepalived keepalived
want krb5kdc krb5-kdc
want kadmin.local krb5-admin-server
want kinit krb5-user
want smbcontrol samba # with samba-dcerpcd, the endpoint mapper
want rpcclient smbclient
if [ "$(id -u)" = 0 ] && [ ${#need[@]} -gt 0 ] && command -v apt-get >/dev/null; then
  echo "installing: ${need[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # The tests start these programs on hosts of their own; on this machine none may
  # start, now (invoke-rc.d(8), policy-rc.d) or at the next boot.
  deny=/usr/sbin/policy-rc.d
  if [ ! -e "$deny" ]; then
    mine=1
    trap 'rm -f "$deny"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$deny" && chmod 755 "$deny"
  fi
  apt-get update -qq >/dev/null
  apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
  if [ -d /run/systemd/system ]; then
    dpkg -L "${need[@]}" | sed -n 's|.*/systemd/system/\([^/@]*\.service\)$|\1|p' | xargs -r systemctl disable -q 2>/dev/null || true
  fi
  trap - EXIT
  [ -z "${mine:-}" ] || rm -f "$deny"
fi

unformatted=$(gofmt -l cmd config fsm observers reconcile)
[ -z "$unformatted" ] || { echo "gofmt: $unformatted"; exit 1; }
go vet ./...
go mod tidy -diff
# Everything builds for AIX, tests included; etcd is left out there by build tags.
GOOS=aix GOARCH=ppc64 CGO_ENABLED=0 go build ./...
GOOS=aix GOARCH=ppc64 CGO_ENABLED=0 go vet ./...

out=$(mktemp) beside=$(mktemp)
trap 'rm -f "$out" "$beside"' EXIT
status=0
# The chaos run needs time and hardly a processor: it runs beside all others.
chaos=understudy/cmd/internal/lab/chaos
go test -json -count=1 -timeout 40m $chaos >"$beside" & pid=$!
# The others one package at a time: they measure times on real kernels' parts.
go test -json -count=1 -p 1 -timeout 20m $(go list ./... | grep -vx $chaos) >"$out" || status=$?
wait $pid || status=$?
cat "$out" "$beside" | go run ./.ci/summary || status=1
exit "$status"
