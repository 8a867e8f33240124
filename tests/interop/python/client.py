"""client.py TARGET [secure]: gRPC's C core as an xDS client (bootstrap in GRPC_XDS_BOOTSTRAP).

With "secure" it proves itself with the certificates the bootstrap names, and calls nobody in plaintext that xDS wants under TLS.

Each line "N" on the input makes N calls, one after the other; each answer is one JSON line {"by": {name: count}, "errors": [text]}.
"""
import json
import sys

import grpc
import grpc.experimental


def many(call, count):
    answer = {"by": {}, "errors": []}
    for _ in range(count):
        try:
            name = call(b"hi", timeout=10, wait_for_ready=False).decode().split(" ")[0]
            answer["by"][name] = answer["by"].get(name, 0) + 1
        except grpc.RpcError as error:
            answer["errors"].append(f"{error.code().value[0]} {error.details()}")
    return answer


def dial(target, secure):
    if not secure:
        return grpc.insecure_channel(target)
    return grpc.secure_channel(target, grpc.xds_channel_credentials(grpc.experimental.insecure_channel_credentials()))


def main():
    with dial(sys.argv[1], "secure" in sys.argv) as channel:
        call = channel.unary_unary("/mesh.test.Echo/Say")
        for line in sys.stdin:
            print(json.dumps(many(call, int(line))), flush=True)


main()
