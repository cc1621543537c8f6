#!/usr/bin/env bash
# Fuzzes every target for a time each and keeps what the engine found interesting:
#   bash .ci/fuzz.sh [TIME [PATTERN]]     default: 60s, every target
# The corpus lies in testdata/fuzz of each package, where every run of the tests
# tries it. Of what is new the smallest are kept, up to 40 files of 4 KiB a target.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-60s} pattern=${2:-.}
keep=40
failed=0 targets=0
while IFS=: read -r file number line; do
  target=${line#func } target=${target%%(*}
  [[ $target =~ $pattern ]] || continue
  package=./$(dirname "$file")
  targets=$((targets + 1))
  echo "== $package $target"
  go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel 2 2>&1 | tail -n 2 || { failed=$((failed + 1)); continue; }
  found=$(go env GOCACHE)/fuzz/understudy/${package#./}/$target
  corpus=$package/testdata/fuzz/$target
  [ -d "$found" ] || continue
  mkdir -p "$corpus"
  have=$(find "$corpus" -type f | wc -l)
  while read -r f; do
    [ "$have" -lt "$keep" ] || break
    [ -e "$corpus/$(basename "$f")" ] || { cp "$f" "$corpus/"; have=$((have + 1)); }
  done < <(find "$found" -type f -size -9 -printf '%s %p\n' | sort -n | cut -d' ' -f2-)
done < <(grep -rn '^func Fuzz' --include='*_test.go' cmd config fsm observers reconcile)
echo "$targets targets, $failed failed"
[ "$failed" = 0 ]
