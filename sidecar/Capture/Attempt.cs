using System.Net;
using System.Net.Sockets;

namespace Mesh.Sidecar.Capture;

/// <summary>A connection that was tried.</summary>
/// <param name="Socket">Connected; null when it failed. Owned by who has the attempt.</param>
/// <param name="Failure">Why it failed, in words; empty when it did not.</param>
/// <param name="Local">The end it was tried from.</param>
internal sealed record Attempt(Socket? Socket, string Failure, IPEndPoint Local)
{
    /// <summary>Tries a connection and says whether it arrived where it should.</summary>
    /// <param name="what">The connection, for the reader.</param>
    /// <param name="expected">Where it should arrive.</param>
    /// <param name="connect">Tries it, after telling what it is given the port from which.</param>
    /// <param name="mustBeTaken">Arriving there is nothing special (TPROXY leaves the port as it is): that something takes it is the proof.</param>
    public static Finding Judge(string what, IPEndPoint expected, Func<Action<int>?, Attempt> connect, bool mustBeTaken = false)
    {
        using var witness = Witness.Watch(expected.AddressFamily, ProtocolType.Tcp);
        var attempt = connect(witness is null ? null : witness.Await);
        using var socket = attempt.Socket;
        var arrived = witness?.ArrivedAt(attempt.Local.Port) ?? SocketTable.ArrivedAt(attempt.Local, expected.Port)?.Port;
        var isAnswered = socket is not null;
        if (arrived == expected.Port && isAnswered) return Finding.Works($"{what} arrives at {(mustBeTaken ? "the sidecar" : expected)}");
        if (arrived == expected.Port && !mustBeTaken)
        {
            return SocketTable.HasListener(expected.Port, expected.AddressFamily)
                ? Finding.Broken($"{what} arrives at {expected}, and the answer does not come back: {attempt.Failure}")
                : Finding.Works($"{what} arrives at {expected} (nothing listens there yet: refused until the sidecar does)");
        }

        if (arrived is { } elsewhere && !mustBeTaken) return Finding.Broken($"{what} arrives at port {elsewhere} instead of {expected}");
        if (isAnswered) return Finding.Broken($"{what} is answered, and nothing here took it: a NAT rule of others sends it elsewhere");
        return witness is null && !mustBeTaken && !SocketTable.HasListener(expected.Port, expected.AddressFamily)
            ? Finding.Note($"{what} is not proved: nothing listens at {expected}, and seeing it arrive there all the same takes CAP_NET_RAW")
            : Finding.Broken($"{what} does not get to the sidecar: {attempt.Failure}");
    }
}
