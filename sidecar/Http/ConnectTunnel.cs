using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Http.Upstream;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Tcp;
using Mesh.Sidecar.Telemetry;
using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Http;

/// <summary>
/// Answers CONNECT before Kestrel sees the connection (Kestrel cannot tunnel it): reads the head strictly, connects to what the authority
/// names, says 200, and is a TCP proxy from then on. Stateless, any thread.
/// </summary>
internal sealed class ConnectTunnel(Snapshots snapshots, TcpProxy tcp, Dialer dialer, TimeProvider time, Randomness random)
{
    private static readonly TimeSpan HeadBound = TimeSpan.FromSeconds(10);

    /// <summary>Serves a connection that begins with CONNECT to its end.</summary>
    public async Task ServeAsync(Socket client, ConnectionFacts connection, HttpConnectionManager manager)
    {
        // By now nothing holds what came with the head: the tunnel may be idle for hours.
        if (await OpenAsync(client, connection, manager) is { } opened) await tcp.CarryAsync(opened.Client, opened.Upstream, opened.Facts, Tunnel.UsualIdle);
    }

    /// <summary>Both ends of a tunnel that has begun; null when there is none: the client was told why, and closed.</summary>
    private async ValueTask<Opened?> OpenAsync(Socket client, ConnectionFacts connection, HttpConnectionManager manager)
    {
        var bytes = new WireBuffer(4096);
        var (authority, wrong) = await ReadHeadAsync(client, bytes);
        var chain = connection.ChainIn(snapshots.Current)?.Http ?? manager;
        var request = new RequestFacts { Method = "CONNECT", Authority = authority };
        // Only the application may use its sidecar as a way out.
        if (connection.Listener.Direction == Direction.Inbound) wrong ??= "CONNECT is not served to other workloads";
        // Rules ask for more than a tunnel tells.
        if (chain.Authorization is not null) wrong ??= "CONNECT is not served where policies decide about requests";
        var result = wrong is not null ? new CallResult(Failure.BadRequest, wrong) : Route(request, chain.Routes);
        var facts = tcp.FactsOf(connection, request.Cluster);
        ITransport? upstream = null;
        if (result.Failure == Failure.None) (upstream, result) = await ConnectAsync(facts, request);
        request.Endpoint = facts.Endpoint;
        if (upstream is null)
        {
            tcp.Close(facts, result.Failure, result.Detail);
            await RefuseAsync(client, request, result);
            return null;
        }

        var own = new SocketTransport(client);
        if (!await BeginAsync(own, upstream, bytes))
        {
            tcp.Close(facts, Failure.ClientGone, "one side was gone before the tunnel began");
            return null;
        }

        facts.ReceivedBytes = bytes.Count;
        return new Opened(own, upstream, facts);
    }

    /// <summary>Says yes, and passes on what the client sent right behind its head. False when a side is gone: both are closed then.</summary>
    private static async ValueTask<bool> BeginAsync(ITransport client, ITransport upstream, WireBuffer bytes)
    {
        try
        {
            await client.SendAsync("HTTP/1.1 200 Connection Established\r\n\r\n"u8.ToArray());
            if (bytes.Count > 0) await upstream.SendAsync(bytes.FilledMemory);
            return true;
        }
        catch (Exception e) when (Transports.IsBreak(e))
        {
            client.Reset();
            upstream.Reset();
            return false;
        }
    }

    /// <summary>Reads the head and leaves what follows it in the buffer. The second value says what is wrong with it.</summary>
    private async ValueTask<(string Authority, string? Wrong)> ReadHeadAsync(Socket client, WireBuffer bytes)
    {
        using var bound = new CancellationTokenSource(HeadBound, time);
        var scanned = 0;
        try
        {
            while (true)
            {
                var size = ResponseHead.FindEnd(bytes.Filled, ref scanned);
                if (size < 0) return ("", "a line of the head does not end in CR LF");
                if (size > 0)
                {
                    var wrong = Parse(bytes.Filled[..size], out var authority);
                    bytes.Consume(size);
                    return (authority, wrong);
                }

                if (bytes.Count >= ResponseHead.MaxBytes) return ("", "the head is larger than 32 KiB");
                bytes.Reserve(1024);
                var count = await client.ReceiveAsync(bytes.Free, SocketFlags.None, bound.Token);
                if (count == 0) return ("", "the head is not complete");
                bytes.Produce(count);
            }
        }
        catch (OperationCanceledException)
        {
            return ("", "the head was not complete after 10 s");
        }
    }

    private static string? Parse(ReadOnlySpan<byte> head, out string authority)
    {
        authority = "";
        var end = head.IndexOf((byte)'\n');
        var line = Encoding.Latin1.GetString(head[..(end - 1)]).Split(' ');
        if (line.Length != 3 || line[0] != "CONNECT" || line[2] is not ("HTTP/1.1" or "HTTP/1.0")) return "the request line is malformed";
        authority = line[1];
        if (!RequestTarget.IsAuthority(authority) || !RequestTarget.TrySplit(authority, out _, out var port) || port <= 0)
            return "CONNECT wants a host and a port, host:port";
        var fields = new HeaderList();
        for (head = head[(end + 1)..]; head.Length > 2; head = head[(end + 1)..])
        {
            end = head.IndexOf((byte)'\n');
            if (ResponseHead.ReadField(head[..(end - 1)], fields) is { } wrong) return wrong;
        }

        if (fields.Find("Transfer-Encoding") is not null) return "CONNECT with a Transfer-Encoding";
        return fields.Find("Content-Length") is not (null or "0") ? "CONNECT with a Content-Length" : null;
    }

    private CallResult Route(RequestFacts request, RouteTable table)
    {
        if (RouteMatching.FindHost(table, request.Authority) is not { } host)
            return new CallResult(Failure.NoRoute, $"no service answers to the host '{request.Authority}'");
        var input = new RouteInput { Authority = request.Authority, Target = "/", Method = "CONNECT", Headers = new HeaderDictionary() };
        request.Route = RouteMatching.FindRoute(host, input);
        if (request.Route is null) return new CallResult(Failure.NoRoute, $"no route of {host.Name} matches CONNECT");
        var choice = WeightedChoice.Of(request.Route.Clusters, request.Route.TotalWeight, random);
        request.Cluster = choice?.Cluster;
        if (choice is null) return new CallResult(Failure.InvalidBackend, "the route has no backend");
        return request.Cluster is null ? new CallResult(Failure.NoCluster, $"the route's backend {choice.Name} does not exist") : CallResult.Ok;
    }

    private async ValueTask<(ITransport? Transport, CallResult Result)> ConnectAsync(TcpFacts facts, RequestFacts request)
    {
        var cluster = request.Cluster!;
        if (cluster.Kind != ClusterKind.Passthrough)
        {
            var (transport, failure, detail) = await tcp.ConnectAsync(facts, cluster);
            return (transport, new CallResult(failure, detail));
        }

        facts.Endpoint = ForeignHosts.EndpointFor(request.Authority, 443);
        var dialled = await dialer.ConnectAsync(new Dial(facts.Endpoint, null, Carried.Tcp, facts.Direction, cluster.ConnectTimeout), CancellationToken.None);
        return (dialled.Transport, new CallResult(dialled.Failure, dialled.Detail));
    }

    private Task RefuseAsync(Socket client, RequestFacts request, CallResult result)
    {
        var row = Failures.Of(result.Failure);
        var text = Refusal.Describe(request, result);
        var answer = string.Create(CultureInfo.InvariantCulture,
            $"HTTP/1.1 {row.Status} Refused\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {Encoding.UTF8.GetByteCount(text)}\r\nx-mesh-failure: {row.Flag}\r\nConnection: close\r\n\r\n{text}");
        return PlainRefusal.SayAsync(client, answer, time);
    }

    /// <summary>A tunnel that has begun.</summary>
    private readonly record struct Opened(ITransport Client, ITransport Upstream, TcpFacts Facts);
}
