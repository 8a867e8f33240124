#!/bin/bash
# ./test.sh [--all] [PROJECT...]: sets up what the tests use, builds once, runs all test projects (or those named: Sidecar, EndToEnd, ...)
# and ends with one line: N passed, N failed, N skipped. --all adds the long groups and the demo's own check.
set -uo pipefail
cd "$(dirname "$0")"

all=0
projects=()
for argument in "$@"; do
  case $argument in
    --all) all=1 ;;
    -h | --help) sed -n '2,3s/^# //p' "$0"; exit 0 ;;
    -*) echo "test.sh: unknown flag $argument (try --help)" >&2; exit 2 ;;
    *) projects+=("tests/Mesh.$argument.Tests") ;;
  esac
done
if [ ${#projects[@]} = 0 ]; then
  projects=(tests/Mesh.Architecture.Tests tests/Mesh.Api.Tests tests/Mesh.Sidecar.Tests tests/Mesh.ControlPlane.Tests tests/Mesh.Cli.Tests tests/Mesh.EndToEnd.Tests)
fi

# What is missing and cannot be had makes the tests that need it skip, with the reason.
install_missing() {
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    local wanted=()
    /usr/bin/python3 -c 'import grpc' 2> /dev/null || wanted+=(python3-grpcio)
    /usr/bin/python3 -c 'import thrift' 2> /dev/null || wanted+=(python3-thrift)
    command -v promtool > /dev/null || wanted+=(prometheus)
    command -v npm > /dev/null || wanted+=(nodejs npm)
    command -v openssl > /dev/null || wanted+=(openssl)
    command -v testssl > /dev/null || wanted+=(testssl.sh)
    # Networks of namespaces, and servers with their real clients in them.
    local pair
    for pair in ip:iproute2 nft:nftables iptables:iptables setpriv:util-linux curl:curl redis-server:redis-server redis-cli:redis-tools nats-server:nats-server nginx:nginx-light psql:postgresql \
      mariadbd:mariadb-server mariadb:mariadb-client vsftpd:vsftpd dnsmasq:dnsmasq-base dig:bind9-dnsutils musl-gcc:musl-tools busybox:busybox-static; do
      command -v "${pair%%:*}" > /dev/null || [ -x "/usr/sbin/${pair%%:*}" ] || wanted+=("${pair##*:}")
    done
    if [ $all = 1 ]; then
      command -v rabbitmqctl > /dev/null || [ -x /usr/sbin/rabbitmqctl ] || wanted+=(rabbitmq-server)
      command -v amqp-get > /dev/null || wanted+=(amqp-tools)
    fi
    if [ ${#wanted[@]} -gt 0 ]; then
      echo "test.sh: installing ${wanted[*]}"
      { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}"; } > /dev/null 2>&1 ||
        echo "test.sh: could not install ${wanted[*]}; tests that need them are skipped"
    fi
  fi
  if command -v npm > /dev/null && [ ! -d tests/interop/grpc-js/node_modules/@grpc/grpc-js-xds ]; then
    npm ci --prefix tests/interop/grpc-js --no-audit --no-fund --ignore-scripts > /dev/null 2>&1 ||
      echo "test.sh: npm ci failed in tests/interop/grpc-js; tests that need it are skipped"
  fi
}

install_missing
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
# The counts below are read from words, so the words must be English.
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_CLI_UI_LANGUAGE=en
command -v dotnet > /dev/null || { echo "test.sh: there is no dotnet on PATH: install the .NET 10 SDK"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }

if ! dotnet build Mesh.sln -nologo -v q -clp:NoSummary > "$logs/build" 2>&1; then
  grep -E "error" "$logs/build" | sort -u | head -40
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi

passed=0 failed=0 skipped=0
filter=()
# Long methods have the category; long rows of theories look at the variable.
if [ $all = 1 ]; then export MESH_TEST_LONG=1; else filter=(--filter "Category!=Long"); fi

for project in "${projects[@]}"; do
  log="$logs/$(basename "$project")"
  started=$SECONDS
  timeout 2700 dotnet test "$project" --no-build -nologo "${filter[@]}" --logger "console;verbosity=normal" > "$log" 2>&1
  code=$?
  # A project whose tests are all filtered out has nothing to say.
  if grep -qE "^(No test matches|No test is available)" "$log" && [ $code = 0 ]; then continue; fi
  p=$(sed -nE 's/^ +Passed: ([0-9]+)/\1/p' "$log" | tail -1); f=$(sed -nE 's/^ +Failed: ([0-9]+)/\1/p' "$log" | tail -1); s=$(sed -nE 's/^ +Skipped: ([0-9]+)/\1/p' "$log" | tail -1)
  p=${p:-0} f=${f:-0} s=${s:-0}
  # The run itself broke (a crash, a time-out): that is a failure, whatever it counted.
  [ $code != 0 ] && [ "$f" = 0 ] && f=1
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  echo "$(basename "$project"): $p passed, $f failed, $s skipped ($((SECONDS - started)) s)"
  grep -A1 -E '\[SKIP\]' "$log" | sed -E 's/^\[xUnit[^]]*\] +//' | grep -v '^--' | sed 's/^/  /'
  if [ "$f" != 0 ]; then
    if grep -qE '^ +Failed ' "$log"; then sed -nE '/^ +Failed /,/^ +(Passed|Skipped) |^$/p' "$log" | head -200; else tail -60 "$log"; fi
  fi
done

demos=()
[ $all = 1 ] && [ -x demo.sh ] && { demos=("--check"); [ "$(id -u)" = 0 ] && demos+=("--check --capture"); }
for demo in "${demos[@]}"; do
  # shellcheck disable=SC2086
  if ./demo.sh $demo > "$logs/demo" 2>&1; then code=0; else code=1; fi
  p=$(sed -nE 's/^([0-9]+) passed, [0-9]+ failed.*/\1/p' "$logs/demo" | tail -1); f=$(sed -nE 's/^[0-9]+ passed, ([0-9]+) failed.*/\1/p' "$logs/demo" | tail -1)
  p=${p:-0} f=${f:-0}
  [ $code != 0 ] && [ "$f" = 0 ] && f=1
  passed=$((passed + p)) failed=$((failed + f))
  echo "demo.sh $demo: $p passed, $f failed"
  [ "$f" = 0 ] || tail -60 "$logs/demo"
done

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
