"""The other side of the interop tests, on gRPC's C core. usage: peer.py client ADDRESS | peer.py server"""
import concurrent.futures
import sys
import time

import grpc

# The string wrapper message: field 1, length-delimited. Short texts only, so that one length byte is enough.
encode = lambda text: (b"\x0a" + bytes([len(text.encode())]) + text.encode()) if text else b""
decode = lambda data: data[2:].decode() if data else ""


def check(name, actual, expected):
    if actual != expected:
        print(f"{name}: expected {expected!r}, got {actual!r}")
        sys.exit(1)
    print(f"{name}: ok")


def status_of(call):
    try:
        call()
    except grpc.RpcError as e:
        return e.code(), e.details()
    return grpc.StatusCode.OK, ""


def client(address):
    with grpc.insecure_channel(address) as channel:
        say = channel.unary_unary("/test.Echo/Say", encode, decode)
        count = channel.unary_stream("/test.Echo/Count", encode, decode)
        join = channel.stream_unary("/test.Echo/Join", encode, decode)
        chat = channel.stream_stream("/test.Echo/Chat", encode, decode)
        missing = channel.unary_unary("/test.Echo/Missing", encode, decode)
        squeezed = lambda: say("x" * 100, compression=grpc.Compression.Gzip)

        check("unary", say("hello", timeout=10), "hello")
        check("server streaming", list(count("5")), ["1", "2", "3", "4", "5"])
        check("client streaming", join(iter(["a", "b"])), "a,b")
        check("bidirectional", list(chat(iter(["a", "b"]))), ["re: a", "re: b", "bye"])
        check("status", status_of(lambda: say("fail:NotFound:100 % \u017elu\u0165")), (grpc.StatusCode.NOT_FOUND, "100 % \u017elu\u0165"))
        check("deadline", status_of(lambda: say("wait", timeout=0.2))[0], grpc.StatusCode.DEADLINE_EXCEEDED)
        check("unimplemented", status_of(lambda: missing("x"))[0], grpc.StatusCode.UNIMPLEMENTED)
        check("compressed", status_of(squeezed)[0], grpc.StatusCode.UNIMPLEMENTED)
        check("cancelled", cancelled(say), grpc.StatusCode.CANCELLED)


def cancelled(say):
    call = say.future("wait")
    call.cancel()
    return call.code()


def serve():
    def say(text, context):
        if text == "wait":
            time.sleep(5)
        if text == "fail":
            context.abort(grpc.StatusCode.NOT_FOUND, "100 % \u017elu\u0165")
        return text

    handlers = {
        "Say": grpc.unary_unary_rpc_method_handler(say, decode, encode),
        "Count": grpc.unary_stream_rpc_method_handler(lambda t, _: (str(i + 1) for i in range(int(t))), decode, encode),
        "Join": grpc.stream_unary_rpc_method_handler(lambda ts, _: ",".join(ts), decode, encode),
        "Chat": grpc.stream_stream_rpc_method_handler(lambda ts, _: ("re: " + t for t in ts), decode, encode),
    }
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()  # Ends with the test.
    server.stop(0)


if __name__ == "__main__":
    client(sys.argv[2]) if sys.argv[1] == "client" else serve()
