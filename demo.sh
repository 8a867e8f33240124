#!/usr/bin/env bash
# Runs the shop of examples/shop in a mesh on this machine, under mutual TLS throughout, and shows who calls whom.
#   ./demo.sh                live table until Ctrl-C
#   ./demo.sh --check        no terminal: goes through the events a mesh must survive, prints each check; exit code 0 when all passed
#   ./demo.sh --build-only   builds the programs into artifacts/bin and runs nothing
#   --consul                 with a real Consul as registry instead of the built-in one
#   --capture                each program in a network namespace of its own with all its traffic captured: nothing tells it of a proxy (needs root)
set -uo pipefail
cd "$(dirname "$0")"

check=false consul=false build_only=false capture=false
for argument in "$@"; do
  case $argument in
    --check) check=true ;;
    --consul) consul=true ;;
    --capture) capture=true ;;
    --build-only) build_only=true ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "demo.sh: unknown option $argument (see --help)" >&2; exit 2 ;;
  esac
done

bin=artifacts/bin
folder=$PWD/artifacts/demo
$check && folder=$PWD/artifacts/demo-check
$capture && folder+=-capture
declare -A process=()   # name -> process id of what was started
passed=0 failed=0

say() { printf '%s\n' "$*"; }
fail_start() { say "demo.sh: $*" >&2; exit 1; }

build() {
  command -v dotnet >/dev/null || fail_start "there is no dotnet on PATH: install the .NET 10 SDK"
  say "building (Release) ..."
  local project
  for project in control-plane sidecar cli examples/shop/Shop.slnx; do
    dotnet build "$project" -c Release -v q -nologo </dev/null >"$folder/build.log" 2>&1 || { cat "$folder/build.log"; fail_start "the build failed"; }
  done
}

# free_port [WANTED]: WANTED when nobody listens there, else some port nobody listens on. Below the range of outgoing connections.
declare -A handed_out=()
free_port() {
  local port=${1:-}
  until [ -n "$port" ] && [ -z "${handed_out[$port]:-}" ] && ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    port=$((20000 + RANDOM % 10000))
  done
  handed_out[$port]=1
  REPLY=$port
}

wait_for() { # wait_for SECONDS COMMAND...: until the command succeeds
  local deadline=$((SECONDS + $1)); shift
  until "$@"; do
    [ $SECONDS -ge "$deadline" ] && return 1
    sleep 0.1
  done
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

find_consul() { # MESH_CONSUL, PATH, or beside the checkout, as the tests look for it
  [ -n "${MESH_CONSUL:-}" ] && { echo "$MESH_CONSUL"; return; }
  command -v consul && return
  local folder=$PWD
  while [ "$folder" != / ]; do
    folder=$(dirname "$folder")
    [ -x "$folder/shared/peers/programs/get" ] && { "$folder/shared/peers/programs/get" consul; return; }
  done
  return 1
}

start_consul() {
  local program; program=$(find_consul) || fail_start "--consul: there is no consul: put it on PATH or name it in MESH_CONSUL"
  free_port; consul_port=$REPLY
  local dns grpc tls serf wan rpc
  free_port; dns=$REPLY; free_port; grpc=$REPLY; free_port; tls=$REPLY; free_port; serf=$REPLY; free_port; wan=$REPLY; free_port; rpc=$REPLY
  "$program" agent -dev -bind 127.0.0.1 -client 127.0.0.1 -http-port "$consul_port" -dns-port "$dns" -grpc-port "$grpc" -grpc-tls-port "$tls" \
    -serf-lan-port "$serf" -serf-wan-port "$wan" -server-port "$rpc" >"$folder/consul.log" 2>&1 &
  process[consul]=$!
  wait_for 30 has_leader || fail_start "consul did not start: see $folder/consul.log"
}

has_leader() { grep -q "New leader elected\|cluster leadership acquired" "$folder/consul.log"; }

start_control_plane() {
  local registry=(--registry "127.0.0.1:$registry_port")
  $consul && registry=(--consul "http://127.0.0.1:$consul_port")
  "$bin/Mesh.ControlPlane/release/mesh-control-plane" "${registry[@]}" --data "$folder/data" --rules "$folder/rules" --grace 3 \
    --mesh-api "127.0.0.1:$mesh_port" --health "127.0.0.1:$health_port" --operators "127.0.0.1:$operators_port" >>"$folder/control-plane.log" 2>&1 &
  process[control-plane]=$!
  wait_for 20 answers "$operators_port" || fail_start "the control plane did not start: see $folder/control-plane.log"
}

# start NAME SERVICE VERSION PROTOCOL PROGRAM [meshctl flags...]: one instance of a service, in the mesh
start() {
  local name=$1 service=$2 version=$3 protocol=$4 program=$5; shift 5
  local network=() listen=127.0.0.1
  free_port
  if $capture; then
    # On the ports that callers know; everything is reached at its own address.
    network=(--capture) listen=0.0.0.0
    case $protocol in grpc) REPLY=9090 ;; *) REPLY=80 ;; esac
  fi
  PATH=$PATH INSTANCE=$name VERSION=$version LISTEN=$listen "$bin/Mesh.Cli/release/meshctl" run "${network[@]}" --service "$service" --version "$version" --workload "$name" \
    --port "$REPLY:$protocol:$protocol" --sidecar-log "$folder/$name.sidecar.log" "$@" \
    -- "$bin/$program" >"$folder/$name.log" 2>&1 &
  process[$name]=$!
}

start_shop() {
  free_port; payments_port=$REPLY
  start payments-v1 payments v1 grpc Payments/release/payments
  start payments-v2 payments v2 grpc Payments/release/payments
  start catalog-a catalog v1 http Catalog/release/catalog
  start catalog-b catalog v1 http Catalog/release/catalog
  if $capture; then
    PAYMENTS_ADDRESS=payments:9090 start cart cart v1 http Cart/release/cart
  else
    PAYMENTS_ADDRESS=127.0.0.1:$payments_port start cart cart v1 http Cart/release/cart --upstream "payments=127.0.0.1:$payments_port:grpc"
  fi
  start storefront storefront v1 http Storefront/release/storefront
  # The customers only call: a place in the mesh, kept open, whose proxy (or, captured, whose network) the load goes through.
  local network=() told='echo "$http_proxy"'
  $capture && network=(--capture) told='ip netns identify $$'
  "$bin/Mesh.Cli/release/meshctl" run "${network[@]}" --service customers --workload customers \
    --sidecar-log "$folder/customers.sidecar.log" -- sh -c "$told"' >"$0" && exec sleep 86400' "$folder/customers.place" >"$folder/customers.log" 2>&1 &
  process[customers]=$!
  wait_for 40 shop_is_open || { tail -n 3 "$folder"/*.log; fail_start "the shop did not open: see $folder/*.log"; }
}

as_customer() { # as_customer COMMAND...: where the customers are; this process becomes it, so call it in one of its own
  local place; place=$(cat "$folder/customers.place")
  if $capture; then exec ip netns exec "$place" "$@"; else http_proxy=$place exec "$@"; fi
}

shop_is_open() { [ -s "$folder/customers.place" ] && load --rps 10 --seconds 0.3 >/dev/null 2>&1; }

# load [flags]: customers at the storefront; prints JSON
load() ( as_customer "$bin/Load/release/load" http://storefront/ --json --in-flight 16 "$@" 2>>"$folder/load.log" )

meshctl() { "$bin/Mesh.Cli/release/meshctl" "$@" </dev/null; }

number() { sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p"; } # number NAME: of a JSON object on one line

stop_all() {
  trap - EXIT
  trap '' INT TERM HUP # A second Ctrl-C must not leave half of it running.
  local name
  for name in "${!process[@]}"; do
    case $name in control-plane | consul) ;; *) kill -TERM "${process[$name]}" 2>/dev/null ;; esac
  done
  for name in "${!process[@]}"; do
    case $name in control-plane | consul) ;; *) wait_for 15 gone "${process[$name]}" || kill_tree "${process[$name]}" ;; esac
  done
  for name in control-plane consul; do
    [ -n "${process[$name]:-}" ] && kill -TERM "${process[$name]}" 2>/dev/null && { wait_for 10 gone "${process[$name]}" || kill -KILL "${process[$name]}"; }
  done
}

gone() { ! kill -0 "$1" 2>/dev/null; }

children() { # all below it
  local child; for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do echo "$child"; children "$child"; done
}

kill_tree() { # outright: the supervisor, the sidecar and the program at once
  local all; all="$1 $(children "$1")"
  # shellcheck disable=SC2086
  kill -KILL $all 2>/dev/null
}

# ---- the checks

result() { # result TEXT COMMAND...: passed when the command succeeds; its output is the detail
  local text=$1 detail; shift
  if detail=$("$@" 2>&1); then
    passed=$((passed + 1)); say "ok    $text${detail:+ ($detail)}"
  else
    failed=$((failed + 1)); say "FAIL  $text${detail:+: $detail}"
  fi
}

all_in_sync() { # all_in_sync COUNT
  local nodes; nodes=$(meshctl nodes) || return 1
  [ "$(grep -c 'in sync$' <<<"$nodes")" -eq "$1" ] || { say "$nodes"; return 1; }
  say "$1 nodes"
}

has_edge() { # has_edge FROM TO: seen, without failures
  awk -F '  +' -v from="$1" -v to="$2" '$1 ~ from && $2 ~ to && $6 == "100.00%" { found = 1 } END { exit !found }' <<<"$edges"
}

edges_are_there() {
  edges=$(meshctl edges)
  local pair
  for pair in "customers storefront" "storefront catalog" "storefront cart" "cart payments.*v1" "cart payments.*v2"; do
    # shellcheck disable=SC2086
    has_edge $pair || { say "no edge ${pair/ / -> } with 100% success in:"; say "$edges"; return 1; }
  done
}

all_edges_are_secured() { # what had nowhere to go (the shop was asked before it was open) is no edge of the mesh
  local edges; edges=$(meshctl edges)
  awk -F '  +' 'NR > 1 && $2 != "unknown" { n++; if ($5 != "yes" || $11 == "-" || $12 == "-") { print; bad = 1 } } END { if (n == 0 || bad) { print "not every edge has yes and two identities"; exit 1 } print n " edges, each with both identities" }' <<<"$edges"
}

no_failures() { # no_failures JSON [AT_MOST]
  local failures requests; failures=$(number failures <<<"$1") requests=$(number requests <<<"$1")
  [ -n "$failures" ] && [ "$failures" -le "${2:-0}" ] || { say "$1"; return 1; }
  say "$failures of $requests failed"
}

share_of_v2() { awk -v a="$(number v1 <<<"$1")" -v b="$(number v2 <<<"$1")" 'BEGIN { printf "%.1f", 100 * b / (a + b + 0.0001) }'; }

split_is() { # split_is FROM TO: percent of v2
  local json share; json=$(load --rps 300 --seconds 4 --tally '"payments":"(v[0-9])"')
  share=$(share_of_v2 "$json")
  say "v2 got $share%"
  [ "$(number failures <<<"$json")" = 0 ] && awk -v s="$share" -v from="$1" -v to="$2" 'BEGIN { exit !(s >= from && s <= to) }' || { say "$json"; return 1; }
}

ask_catalog() { # customers go round the storefront; prints how many of how many failed
  (as_customer "$bin/Load/release/load" http://catalog/items --json --in-flight 4 --rps 20 --seconds 0.5 2>>"$folder/load.log")
}

catalog_answers() { [ "$(ask_catalog | number failures)" = 0 ]; }

catalog_refuses() { local json; json=$(ask_catalog); [ "$(number failures <<<"$json")" = "$(number requests <<<"$json")" ]; }

forbid() { cp examples/shop/policies/catalog.yaml "$folder/rules/.catalog.yaml.new" && mv "$folder/rules/.catalog.yaml.new" "$folder/rules/catalog.yaml" && wait_for 10 catalog_refuses; }

denial_is_explained() { # the answer of the policies, by the file and the line
  local told; told=$(meshctl authz check --from ns/default/sa/customers --to catalog GET /items); local code=$?
  [ $code -eq 3 ] && grep -q 'catalog.yaml' <<<"$told" || { say "$told"; return 1; }
  meshctl authz check --from ns/default/sa/storefront --to catalog GET /items >/dev/null || { say "the storefront may not call it either"; return 1; }
  head -1 <<<"$told"
}

shift_rules() { # shift_rules V1 V2
  sed "s/weight: 90/weight: $1/; s/weight: 10$/weight: $2/" examples/shop/rules/shop.yaml >"$folder/rules/.shop.yaml.new"
  mv "$folder/rules/.shop.yaml.new" "$folder/rules/shop.yaml"
}

has_shifted() {
  local json; json=$(load --rps 200 --seconds 0.5 --tally '"payments":"(v[0-9])"')
  awk -v s="$(share_of_v2 "$json")" 'BEGIN { exit !(s > 30) }'
}

healthy() { meshctl services | awk -F '  +' -v name="$1" '$1 == name { print $4 }'; }

healthy_is() { [ "$(healthy "$1")" = "$2" ]; }

under_load() { # under_load COMMAND...: the command runs while customers come in, before, during and after; their result is in $loaded
  as_customer "$bin/Load/release/load" http://storefront/ --json --in-flight 32 --rps 100 --seconds 60 >"$folder/loaded.json" 2>>"$folder/load.log" &
  process[load]=$!
  sleep 0.7
  "$@"
  local status=$?
  sleep 1.5
  kill -TERM "${process[load]}"
  wait "${process[load]}"
  unset 'process[load]'
  loaded=$(cat "$folder/loaded.json")
  return $status
}

shift_and_wait() { shift_rules 50 50; wait_for 10 has_shifted; }

kill_catalog_b() { kill_tree "${process[catalog-b]}"; wait "${process[catalog-b]}" 2>/dev/null; unset 'process[catalog-b]'; wait_for 10 healthy_is catalog 1/1; }

add_catalog_c() { start catalog-c catalog v2 http Catalog/release/catalog; wait_for 20 healthy_is catalog 2/2; }

stop_catalog_a() { kill -TERM "${process[catalog-a]}"; wait "${process[catalog-a]}" 2>/dev/null; unset 'process[catalog-a]'; wait_for 10 healthy_is catalog 1/1; }

renew() { # renew ADMIN-ADDRESS: a new certificate for this sidecar, now; prints its serial number
  local connection line status=
  exec {connection}<>"/dev/tcp/${1%:*}/${1##*:}" || return 1
  printf 'POST /certs/renew HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' "$1" >&"$connection"
  while read -r -t 15 line <&"$connection"; do
    [ -n "$status" ] || status=$line
    case $line in 'renewed: serial '*) line=${line#renewed: serial }; echo "${line%$'\r'}" ;; esac
  done
  exec {connection}>&-
  [[ $status == *" 200 "* ]]
}

in_network_of() { # in_network_of NAME ADMIN-ADDRESS: renews where the sidecar of that program is
  if ! $capture; then renew "$2"; return; fi
  local number; number=$(grep -l "^${process[$1]} " /run/mesh-run/run-*) || return 1
  ip netns exec "mesh-run-${number##*-}" bash -c "$(declare -f renew); renew $2"
}

rotate_certificates() { # three rounds, all sidecars of a round at once; their serial numbers are in renewed.log
  : >"$folder/renewed.log"
  local round log admin; local -a running
  for round in 1 2 3; do
    running=()
    for log in "$folder"/*.sidecar.log; do
      admin=$(sed -n 's/.* started .*admin=\([0-9.:]*\).*/\1/p' "$log" | tail -1)
      log=${log##*/}
      in_network_of "${log%.sidecar.log}" "$admin" >>"$folder/renewed.log" & running+=($!)
    done
    for log in "${running[@]}"; do wait "$log" || { say "a sidecar did not renew its certificate in round $round"; return 1; }; done
    sleep 0.5
  done
}

all_have_rotated() { # all_have_rotated COUNT JSON: so many different certificates, and no request that failed
  local renewed; renewed=$(sort -u "$folder/renewed.log" | wc -l)
  [ "$renewed" -eq "$1" ] || { say "$renewed certificates instead of $1: see $folder/renewed.log"; return 1; }
  local told; told=$(no_failures "$2") || { say "$told"; return 1; }
  say "$renewed new certificates on $(($1 / 3)) sidecars, $told"
}

restart_control_plane() {
  kill -TERM "${process[control-plane]}"
  wait "${process[control-plane]}" 2>/dev/null
  sleep 1
  start_control_plane
  # One of the seven was killed before.
  wait_for 15 all_in_sync 6 >/dev/null
}

nobody_knows_a_proxy() {
  local name pid count=0
  for name in payments-v1 payments-v2 catalog-a catalog-b cart storefront; do
    for pid in $(children "${process[$name]}"); do
      case $(readlink "/proc/$pid/exe") in *sidecar | *meshctl | */setpriv | */setsid) continue ;; esac
      ! tr '\0' '\n' <"/proc/$pid/environ" | grep -qi '_proxy=' || { say "$name has $(tr '\0' '\n' <"/proc/$pid/environ" | grep -i _proxy=)"; return 1; }
      count=$((count + 1))
    done
  done
  [ $count -ge 6 ] && say "$count programs"
}

run_checks() {
  result "every sidecar has its configuration" wait_for 10 all_in_sync 7
  result "90/10 split: v2 gets 6 to 14%" split_is 6 14
  result "traffic flows through all sidecars, both sides tell" edges_are_there
  $capture && result "the programs were told of no proxy" nobody_knows_a_proxy
  result "every edge is under mutual TLS" all_edges_are_secured
  catalog_answers; local answered=$?
  under_load forbid; local forbidden=$?
  result "one policy file forbids a call that went through before" [ "$answered$forbidden" = 00 ]
  result "... and loses no other" no_failures "$loaded"
  result "... and authz check says which rule it is" denial_is_explained
  under_load rotate_certificates; local rotated=$?
  result "all certificates rotate under load, three times" [ $rotated -eq 0 ]
  result "... and no request fails" all_have_rotated 21 "$loaded"
  under_load shift_and_wait; local shifted=$?
  result "a shift to 50/50 takes effect under load" [ $shifted -eq 0 ]
  result "... and loses no request" no_failures "$loaded"
  result "50/50 split: v2 gets 43 to 57%" split_is 43 57
  under_load kill_catalog_b; local left=$?
  result "a killed instance leaves" [ $left -eq 0 ]
  # Half of the 16 that are in flight at most.
  result "... and takes at most the requests in flight with it" no_failures "$loaded" 8
  under_load restart_control_plane; local restarted=$?
  result "a control plane that restarts gets every sidecar back" [ $restarted -eq 0 ]
  result "... and no request notices" no_failures "$loaded"
  under_load add_catalog_c; local joined=$?
  result "a new instance joins" [ $joined -eq 0 ]
  result "... and loses no request" no_failures "$loaded"
  under_load stop_catalog_a; local stopped=$?
  result "an instance that stops leaves in order" [ $stopped -eq 0 ]
  result "... and loses no request" no_failures "$loaded"
}

# ---- the live table

show() {
  as_customer "$bin/Load/release/load" http://storefront/ --rps 50 --seconds 86400 >/dev/null 2>&1 &
  process[load]=$!
  local one; one="curl -s -x $(cat "$folder/customers.place") http://storefront/"
  $capture && one="ip netns exec $(cat "$folder/customers.place") curl -s http://storefront/"
  while :; do
    local table; table=$(meshctl edges 2>&1)
    [ -t 1 ] && printf '\e[H\e[J'
    cat <<TABLE
$table

Shift the canary: edit  ${folder#"$PWD"/}/rules/shop.yaml  (weight: 90 / weight: 10), for example
  sed -i 's/weight: 90/weight: 50/; s/weight: 10\$/weight: 50/' ${folder#"$PWD"/}/rules/shop.yaml
Forbid a call: cp examples/shop/policies/catalog.yaml ${folder#"$PWD"/}/rules/
More, with  . ${folder#"$PWD"/}/env  first: $bin/Mesh.Cli/release/meshctl stat|services|nodes|identity list|ca status
One request: $one      Ctrl-C ends it all.
TABLE
    sleep "$([ -t 1 ] && echo 1 || echo 5)"
  done
}

if $capture && ! $build_only; then
  [ "$(id -u)" = 0 ] || fail_start "--capture needs root: it makes network namespaces and sets rules of the kernel"
  for program in ip setpriv; do command -v $program >/dev/null || fail_start "--capture needs $program (Debian packages iproute2, util-linux)"; done
  setpriv --reuid 1337 --regid 1337 --clear-groups test -r "$PWD/demo.sh" || fail_start "--capture: the sidecars run as user 1337, who cannot read $PWD"
  # What is called by name is not asked of a proxy.
  unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY
fi
rm -rf "$folder" && mkdir -p "$folder/rules" && cp examples/shop/rules/*.yaml "$folder/rules/"
build
$build_only && { say "built: artifacts/bin/Mesh.{Cli,ControlPlane,Sidecar}/release"; exit 0; }
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
free_port 15012; mesh_port=$REPLY
free_port 15014; health_port=$REPLY
free_port 15015; operators_port=$REPLY
free_port 8500; registry_port=$REPLY
# How meshctl finds the control plane and logs in: the token file was made on its first start, for this user only.
export MESH_CONTROL_PLANE=127.0.0.1:$mesh_port MESH_OPERATORS=http://127.0.0.1:$operators_port MESH_OPERATORS_TOKEN_FILE=$folder/data/operators/admin.token
unset MESH_JOIN_TOKEN MESH_OPERATORS_TOKEN MESH_OPERATORS_CERTIFICATE
printf 'export %s=%q\n' MESH_CONTROL_PLANE "$MESH_CONTROL_PLANE" MESH_OPERATORS "$MESH_OPERATORS" MESH_OPERATORS_TOKEN_FILE "$MESH_OPERATORS_TOKEN_FILE" >"$folder/env"
began=$SECONDS
$consul && start_consul
start_control_plane
start_shop
if $check; then
  run_checks
  say "$passed passed, $failed failed (in $((SECONDS - began)) s, logs in ${folder#"$PWD"/})"
  stop_all
  [ $failed -eq 0 ]
else
  show
fi
