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
if [ "$(id -u)" = 0 ] && [ ${#need[@]} -gt 0 ] && command -v apt-get >/dev/null; then
  echo "installing: ${need[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null
  apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi

unformatted=$(gofmt -l cmd config fsm observers reconcile)
[ -z "$unformatted" ] || { echo "gofmt: $unformatted"; exit 1; }
go vet ./...
go mod tidy -diff
# Everything builds for AIX, tests included; etcd is left out there by build tags.
GOOS=aix GOARCH=ppc64 CGO_ENABLED=0 go build ./...
GOOS=aix GOARCH=ppc64 CGO_ENABLED=0 go vet ./...

out=$(mktemp)
trap 'rm -f "$out"' EXIT
status=0
# One package at a time: the tests measure times on real kernels' parts.
go test -json -count=1 -p 1 -timeout 20m ./... >"$out" || status=$?
go run ./.ci/summary <"$out" || status=1
exit "$status"
