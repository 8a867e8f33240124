"""client.py TARGET: gRPC's C core as an xDS client (bootstrap in GRPC_XDS_BOOTSTRAP).

Each line "N" on the input makes N calls, one after the other; each answer is one JSON line {"by": {name: count}, "errors": [text]}.
"""
import json
import sys

import grpc


def many(call, count):
    answer = {"by": {}, "errors": []}
    for _ in range(count):
        try:
            name = call(b"hi", timeout=10, wait_for_ready=False).decode().split(" ")[0]
            answer["by"][name] = answer["by"].get(name, 0) + 1
        except grpc.RpcError as error:
            answer["errors"].append(f"{error.code().value[0]} {error.details()}")
    return answer


def main():
    with grpc.insecure_channel(sys.argv[1]) as channel:
        call = channel.unary_unary("/mesh.test.Echo/Say")
        for line in sys.stdin:
            print(json.dumps(many(call, int(line))), flush=True)


main()
