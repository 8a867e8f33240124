"""gRPC's C core as an ordinary server and client, messages as they are: grpc_app.py serve PORT | call TARGET

The service mesh.lab.Echo has the four kinds of methods: Unary, Serve (answers three times), Send (answers the number of messages), Talk (each back).
"""
import sys
import threading
from concurrent import futures

import grpc

SERVICE = "mesh.lab.Echo"


def serve(port):
    handlers = grpc.method_handlers_generic_handler(SERVICE, {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Serve": grpc.unary_stream_rpc_method_handler(lambda request, context: iter([request] * 3)),
        "Send": grpc.stream_unary_rpc_method_handler(lambda requests, context: b"%d" % sum(1 for _ in requests)),
        "Talk": grpc.stream_stream_rpc_method_handler(lambda requests, context: (r for r in requests)),
    })
    server = grpc.server(futures.ThreadPoolExecutor(32))
    server.add_generic_rpc_handlers([handlers])
    server.add_insecure_port(f"[::]:{port}")
    server.start()
    print("serving", flush=True)
    threading.Event().wait()


def unary(request, context):
    if request == b"fail":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "you said so")
    context.set_trailing_metadata([("x-caller", dict(context.invocation_metadata()).get("x-forwarded-client-cert", "nobody"))])
    return request


def call(target):
    with grpc.insecure_channel(target, [("grpc.enable_http_proxy", 0)]) as channel:
        method = f"/{SERVICE}/"
        answer, made = channel.unary_unary(method + "Unary").with_call(b"hello", timeout=20)
        print(answer.decode(), dict(made.trailing_metadata())["x-caller"])
        print([m.decode() for m in channel.unary_stream(method + "Serve")(b"x", timeout=20)])
        print(channel.stream_unary(method + "Send")(iter([b"a", b"b", b"c", b"d"]), timeout=20).decode())
        talk = channel.stream_stream(method + "Talk")
        print([m.decode() for m in talk(iter([b"1", b"2"]), timeout=20)])
        try:
            channel.unary_unary(method + "Unary")(b"fail", timeout=20)
        except grpc.RpcError as e:
            print(e.code().name, e.details())


serve(sys.argv[2]) if sys.argv[1] == "serve" else call(sys.argv[2])
