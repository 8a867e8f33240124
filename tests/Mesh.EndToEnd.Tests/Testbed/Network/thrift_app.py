"""Thrift's own library, framed, as an ordinary server and client of a service without generated code: thrift_app.py serve PORT | call HOST PORT

The service has one method, shout(string) -> string.
"""
import socket
import sys

from thrift.Thrift import TMessageType, TType
from thrift.protocol.TBinaryProtocol import TBinaryProtocolFactory
from thrift.server.TServer import TThreadedServer
from thrift.transport import TSocket
from thrift.transport.TTransport import TFramedTransport, TFramedTransportFactory


def write(out, kind, field, text, sequence):
    out.writeMessageBegin("shout", kind, sequence)
    out.writeStructBegin("shout")
    out.writeFieldBegin("text", TType.STRING, field)
    out.writeString(text)
    out.writeFieldEnd()
    out.writeFieldStop()
    out.writeStructEnd()
    out.writeMessageEnd()
    out.trans.flush()


def read(protocol):
    _, _, sequence = protocol.readMessageBegin()
    protocol.readStructBegin()
    text = None
    while (field := protocol.readFieldBegin())[1] != TType.STOP:
        text = protocol.readString()
    protocol.readStructEnd()
    protocol.readMessageEnd()
    return text, sequence


class Shouter:
    def process(self, into, out):
        text, sequence = read(into)
        write(out, TMessageType.REPLY, 0, text.upper(), sequence)


if sys.argv[1] == "serve":
    listening = TSocket.TServerSocket("::", int(sys.argv[2]), socket_family=socket.AF_UNSPEC)
    listening.listen()
    print("serving", flush=True)
    TThreadedServer(Shouter(), listening, TFramedTransportFactory(), TBinaryProtocolFactory(), daemon=True).serve()
else:
    transport = TFramedTransport(TSocket.TSocket(sys.argv[2], int(sys.argv[3])))
    transport.open()
    protocol = TBinaryProtocolFactory().getProtocol(transport)
    for number in range(1, 4):
        write(protocol, TMessageType.CALL, 1, f"message {number}", number)
        print(*read(protocol))
    write(protocol, TMessageType.CALL, 1, "x" * 1_000_000, 4)
    print(len(read(protocol)[0]))
