using System.Net;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Stands where Kestrel expects its sockets: it "listens" on two names and takes the connections our acceptors hand over. Thread safe.
/// </summary>
internal sealed class ConnectionFeed : IConnectionListenerFactory
{
    private readonly Queue http1 = new(Http1);
    private readonly Queue http2 = new(Http2);

    /// <summary>The name of the HTTP/1 engine.</summary>
    public static EndPoint Http1 { get; } = new NamedEndPoint("http/1.1");

    /// <summary>The name of the HTTP/2 engine.</summary>
    public static EndPoint Http2 { get; } = new NamedEndPoint("h2c");

    /// <summary>Hands a connection over; false when the engines have stopped.</summary>
    public bool Offer(ConnectionContext connection, bool isHttp2) => (isHttp2 ? http2 : http1).Offer(connection);

    /// <inheritdoc/>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new(ReferenceEquals(endpoint, Http2) ? http2 : http1);

    /// <summary>One engine's connections on their way.</summary>
    private sealed class Queue(EndPoint name) : IConnectionListener
    {
        private readonly Channel<ConnectionContext> waiting =
            Channel.CreateUnbounded<ConnectionContext>(new UnboundedChannelOptions { SingleReader = true, AllowSynchronousContinuations = true });

        public EndPoint EndPoint => name;

        public bool Offer(ConnectionContext connection) => waiting.Writer.TryWrite(connection);

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default) =>
            await waiting.Reader.WaitToReadAsync(cancellationToken) && waiting.Reader.TryRead(out var connection) ? connection : null;

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            waiting.Writer.TryComplete();
            return ValueTask.CompletedTask;
        }

        public ValueTask DisposeAsync() => UnbindAsync();
    }

    private sealed class NamedEndPoint(string name) : EndPoint
    {
        public override string ToString() => name;
    }
}
