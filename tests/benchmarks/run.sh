#!/usr/bin/env bash
# run.sh [--build-only | --no-build] [--json] [--markdown] [--only BENCH] [--rounds N] [--seconds N]: measures Mesh against its peers in one interleaved run.
# All benches take some twenty minutes with --rounds 4 --seconds 3. Bench capture needs root, for network namespaces; it is left out without. --markdown adds tables for docs/benchmarks.md.
# Prints a table, or with --json one JSON object a line: {"bench","subject","peer","metric","value","ratio"}.
# Peers: nginx and haproxy (installed when missing), Envoy and fortio from ../shared/peers where they are there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
say() { echo "$@" >&2; }

missing=()
for pair in wrk:wrk nginx:nginx haproxy:haproxy; do command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}"); done
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing+=(libnginx-mod-stream)
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  { apt-get update && apt-get install -y "${missing[@]}"; } >&2
fi

get="$root/../shared/peers/programs/get"
find_program() { command -v "$1" 2>/dev/null || { [ -x "$get" ] && "$get" "$1" 2>/dev/null; } || true; }
export MESH_BENCH_ENVOY=${MESH_BENCH_ENVOY:-$(find_program envoy)}
export MESH_BENCH_FORTIO=${MESH_BENCH_FORTIO:-$(find_program fortio)}

out="$root/artifacts/benchmarks"
publish() { # PROJECT FOLDER [ARGS...]
  local project=$1 folder=$2; shift 2
  dotnet publish "$root/$project" -c Release -r linux-x64 --self-contained -o "$out/$folder" -v q -nologo "$@" >&2
}
build=yes only_build=
for word in "$@"; do
  if [ "$word" = --no-build ]; then build=; fi
  if [ "$word" = --build-only ]; then only_build=yes; fi
done
if [ -n "$build" ]; then
  say "publishing the programs (self-contained, ReadyToRun; the sidecar trimmed)"
  publish sidecar sidecar
  publish control-plane control-plane -p:PublishReadyToRun=true
  dotnet build "$here/Mesh.Benchmarks" -c Release -v q -nologo >&2
fi
if [ -n "$only_build" ]; then exit 0; fi

export MESH_BENCH_SIDECAR="$out/sidecar/mesh-sidecar" MESH_BENCH_CONTROL_PLANE="$out/control-plane/mesh-control-plane"
exec dotnet "$root/artifacts/bin/Mesh.Benchmarks/release/Mesh.Benchmarks.dll" "$@"
