using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace Mesh.Sidecar.Listening;

/// <summary>An accepted connection while it is open, as its acceptor sees it. Thread safe.</summary>
internal sealed class OpenConnection(Socket socket)
{
    private volatile ConnectionContext? http;
    private volatile bool isHttp2;
    private volatile ConnectionFacts? facts;

    /// <summary>The socket.</summary>
    public Socket Socket => socket;

    /// <summary>True when HTTP/2 runs on it.</summary>
    public bool IsHttp2 => isHttp2;

    /// <summary>What is known of it once an HTTP engine has it; null for what is no HTTP.</summary>
    public ConnectionFacts? Http => facts;

    /// <summary>An HTTP engine has taken it.</summary>
    public void ServedBy(ConnectionContext connection, ConnectionFacts known, bool http2)
    {
        isHttp2 = http2;
        facts = known;
        http = connection;
    }

    /// <summary>Asks an HTTP connection to end after its current requests: GOAWAY for HTTP/2; an idle HTTP/1 connection is closed.</summary>
    public void RequestClose() => http?.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();

    /// <summary>Ends it at once.</summary>
    public void Abort()
    {
        if (http is { } connection) connection.Abort();
        else socket.Dispose();
    }
}
