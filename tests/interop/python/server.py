"""server.py ADDRESS: gRPC's C core as a server that takes its listener by xDS (bootstrap in GRPC_XDS_BOOTSTRAP).

Every method echoes its request. Says {"started": ADDRESS} once; calls fail until the listener has come.
"""
import json
import sys
from concurrent import futures

import grpc


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)


def main():
    server = grpc.server(futures.ThreadPoolExecutor(4), xds=True)
    server.add_generic_rpc_handlers([Echo()])
    credentials = grpc.xds_server_credentials(grpc.insecure_server_credentials())
    server.add_secure_port(sys.argv[1], credentials)
    server.start()
    print(json.dumps({"started": sys.argv[1]}), flush=True)
    for _ in sys.stdin:
        pass
    server.stop(0)


main()
