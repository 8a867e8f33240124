using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Tcp;

/// <summary>
/// What happens to a captured connection to a destination that the configuration does not know, in order: may it go there at all; dial, and
/// meanwhile look at what the client says; HTTP for a host of the mesh goes by host, everything else goes on untouched. A server that speaks
/// first is never waited for longer than it takes to reach it. Stateless, any thread.
/// </summary>
internal sealed class UnknownDestinations(Snapshots snapshots, TcpProxy tcp, Dialer dialer, DestinationVerdicts verdicts, TimeProvider time, SidecarMetrics metrics)
{
    /// <summary>How long a client whose destination cannot be reached may take to say that it means a service of the mesh, or to be told why not.</summary>
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(1);

    /// <summary>Serves a connection by the host its requests name.</summary>
    public required Func<OpenConnection, ConnectionFacts, Task> ByHost { get; init; }

    /// <summary>Serves a connection to its end. <paramref name="rest"/> says what the configuration has for those that nobody knows.</summary>
    public async Task ServeAsync(OpenConnection connection, ConnectionFacts captured, TcpProxyConfig rest)
    {
        var facts = tcp.FactsOf(captured, rest.Clusters is [var only, ..] ? only.Cluster : null);
        using var decided = rest.IdleTimeout > TimeSpan.Zero ? new CancellationTokenSource(rest.IdleTimeout, time) : new CancellationTokenSource();
        var reaching = ReachAsync(facts, captured.Original!, rest);
        var heard = HearAsync(reaching, decided.Token);
        var said = FirstHosts.LookAsync(connection.Socket, TableOf(captured), time, decided.Token);
        await Task.WhenAny(said, heard);
        if (!said.IsCompleted && (await reaching).Transport is null) await Task.WhenAny(said, Task.Delay(LastWords, time, decided.Token));

        var host = said.IsCompletedSuccessfully ? await said : FirstHost.None;
        // Where the control plane says that a workload of the mesh is, the connection is for him, whatever host it names.
        if (host == FirstHost.OfTheMesh && !await IsMeshedAsync(captured.Original!))
        {
            _ = LeaveAsync(reaching, heard);
            await ByHost(connection, captured.ByHost(MayPassOn(captured.Original!, rest)));
            return;
        }

        var reached = await reaching;
        await decided.CancelAsync();
        await Task.WhenAll(said, heard).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (reached.Transport is { } upstream)
        {
            if (Broke(said) || Broke(heard)) Break(connection.Socket, upstream, facts, Broke(said));
            else await tcp.CarryAsync(new SocketTransport(connection.Socket), upstream, facts, rest.IdleTimeout);
        }
        else await RefuseAsync(connection.Socket, facts, reached, host);
    }

    /// <summary>Lets go of a connection that is not needed, as soon as it is made. Bounded by the time connecting may take.</summary>
    private static async Task LeaveAsync(Task<Reached> reaching, Task heard)
    {
        (await reaching).Transport?.Dispose();
        await heard.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>1 is it known to be nobody's or somebody's, 2 does the policy let it out, 3 dial.</summary>
    private async Task<Reached> ReachAsync(TcpFacts facts, IPEndPoint original, TcpProxyConfig rest)
    {
        var verdict = await verdicts.OfAsync(snapshots.Current, original);
        if (verdict.Refusal is { } refusal) return new(null, Failure.UnknownDestination, refusal.Text, refusal.Reason);
        if (verdict.Meshed is { } meshed)
        {
            (facts.Cluster, facts.Service, facts.Endpoint) = (meshed, meshed.Service, meshed.Endpoints[0]);
            return Reached.Of(await dialer.ConnectAsync(new Dial(facts.Endpoint, dialer.TermsOf(facts.Endpoint), Carried.Tcp, facts.Direction, meshed.ConnectTimeout), CancellationToken.None));
        }

        if (PassthroughOf(rest) is not { } cluster)
            return new(null, Failure.UnknownDestination, $"no service of the mesh is at {original}, and the mesh lets nothing else out (outbound policy registry-only)", "registry_only");
        facts.Endpoint = OriginalEndpoint.Of(original, null);
        return Reached.Of(await dialer.ConnectAsync(new Dial(facts.Endpoint, null, Carried.Tcp, facts.Direction, cluster.ConnectTimeout), CancellationToken.None));
    }

    /// <summary>Ends when the server has spoken or closed, or cannot be reached. What a workload of the mesh says is TLS, and its sidecar waits for the client.</summary>
    private static async Task HearAsync(Task<Reached> reaching, CancellationToken decided)
    {
        if ((await reaching).Transport is not SocketTransport { Socket: var upstream }) return;
        await upstream.ReceiveAsync(new byte[1], SocketFlags.Peek, decided);
    }

    /// <summary>Whether a side reset its connection while it was looked at. The kernel says so once; after that it would look like an end in good order.</summary>
    private static bool Broke(Task look) => look.Exception?.InnerException is { } e && Transports.IsBreak(e);

    private void Break(Socket client, ITransport upstream, TcpFacts facts, bool byClient)
    {
        Transports.Reset(client);
        upstream.Reset();
        if (byClient) tcp.Close(facts, Failure.ClientGone, "the client reset the connection");
        else tcp.Close(facts, Failure.UpstreamClosed, "the instance reset the connection");
    }

    /// <summary>The cluster that lets everything out; null where the outbound policy lets nothing out.</summary>
    private Cluster? PassthroughOf(TcpProxyConfig rest) =>
        snapshots.Current.Ranges is not { RegistryOnly: true } && rest.Clusters is [{ Cluster: { Kind: ClusterKind.Passthrough } passthrough }, ..] ? passthrough : null;

    private bool MayPassOn(IPEndPoint original, TcpProxyConfig rest) =>
        PassthroughOf(rest) is not null && verdicts.OfAsync(snapshots.Current, original) is { IsCompletedSuccessfully: true, Result: { Refusal: null, Meshed: null } };

    private async ValueTask<bool> IsMeshedAsync(IPEndPoint original) => (await verdicts.OfAsync(snapshots.Current, original)).Meshed is not null;

    /// <summary>The hosts of the mesh: those the sidecar's own port answers for.</summary>
    private RouteTable? TableOf(ConnectionFacts captured)
    {
        var listener = captured.In(snapshots.Current);
        return listener.GroupOf(listener.Address) is { } own ? ChainMatch.Find(own, Spoken.Found(ChainMatch.Http11))?.Http?.Routes : null;
    }

    private async Task RefuseAsync(Socket client, TcpFacts facts, Reached reached, FirstHost host)
    {
        if (reached.Reason is { } reason) metrics.CaptureRefused.Add("outbound", reason);
        tcp.Close(facts, reached.Failure, reached.Detail);
        // Who gets no connection to his server sees that by a reset; HTTP has words for what is refused here.
        if (host == FirstHost.Foreign && reached.Failure is Failure.UnknownDestination or Failure.Loop) await PlainRefusal.AnswerAsync(client, reached.Failure, reached.Detail, time);
        else Transports.Reset(client);
    }

    /// <summary>A connection to the destination, or why there is none; with a reason, it is refused.</summary>
    private readonly record struct Reached(ITransport? Transport, Failure Failure, string Detail, string? Reason)
    {
        public static Reached Of(Dialled dialled) => new(dialled.Transport, dialled.Failure, dialled.Detail, null);
    }
}
