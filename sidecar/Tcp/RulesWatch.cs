using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Mesh.Api.Logging;
using Mesh.Sidecar.Listening;

namespace Mesh.Sidecar.Tcp;

/// <summary>
/// Notices that the rules which capture this workload are gone, as after a firewall's reload: every few seconds it connects to a port of this host that
/// nobody listens on, as a workload that calls itself. With the rules that comes back to the inbound port; without them it is refused. It needs no
/// privilege. One loop, owned by Program; <see cref="Took"/> is called by acceptors.
/// </summary>
internal sealed class RulesWatch(Func<AddressFamily, IPAddress?> ownAddress, Func<bool> serves, TimeProvider time, Log log) : IDisposable
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Again = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>How long they may be missing at first: they are set once the sidecar is ready.</summary>
    private static readonly TimeSpan Begin = TimeSpan.FromSeconds(30);

    private readonly ImmutableArray<Target> targets = [new(AddressFamily.InterNetwork), new(AddressFamily.InterNetworkV6)];
    private volatile Probe? waiting;
    private TimeSpan missing;

    /// <summary>True while traffic is brought here.</summary>
    public bool AreThere => targets.Any(t => t.IsSeen) && targets.All(t => !t.IsLost);

    /// <summary>How often they went.</summary>
    public long Lost => targets.Sum(t => t.Losses);

    /// <summary>What is to be said of them; empty when nothing is.</summary>
    public string Note => targets.Any(t => t.IsLost) ? "the capture rules are gone: traffic goes past this sidecar"
        : missing >= Begin ? "no capture rules lead here: traffic goes past this sidecar" : "";

    /// <summary>Whether a connection is one of this watch, which has ended it then.</summary>
    public bool Took(Socket accepted)
    {
        if (waiting is not { } probe || accepted.RemoteEndPoint is not IPEndPoint from || !OriginalDestination.Unmapped(from).Equals(probe.From)) return false;
        probe.Arrived.TrySetResult();
        accepted.Dispose();
        return true;
    }

    /// <summary>Watches until cancelled.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            foreach (var target in targets) Judge(target, await LookTwiceAsync(target, stop));
            missing = !targets.Any(t => t.IsSeen) && targets.Any(t => t.IsMissing) ? missing + Pause : TimeSpan.Zero;
            if (missing > TimeSpan.Zero && missing - Begin is { Ticks: >= 0 } late && late < Pause)
                log.Warn("no capture rules lead here: calls of this workload and to it go past this sidecar, until mesh-sidecar capture install has run");
            await Task.Delay(Pause, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var target in targets) target.Port?.Dispose();
    }

    /// <summary>A firewall that reloads may have them set again a moment later, and a port may be one that connection tracking still knows.</summary>
    private async Task<bool?> LookTwiceAsync(Target target, CancellationToken stop)
    {
        var there = await LookAsync(target, stop);
        if (there is not false) return there;
        await Task.Delay(Again, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return await LookAsync(target, stop);
    }

    private void Judge(Target target, bool? there)
    {
        if (there is not { } seen) return;
        target.IsMissing = !seen;
        if (seen && target.IsLost) log.Info("the capture rules are there again", ("family", target.Name));
        if (seen) (target.IsSeen, target.IsLost) = (true, false);
        if (seen || !target.IsSeen || target.IsLost) return;
        target.IsLost = true;
        target.Losses++;
        log.Error("the capture rules are gone (somebody flushed them, as a firewall's reload does): calls of this workload and to it go past this sidecar, until mesh-sidecar capture install has run", ("family", target.Name));
    }

    /// <summary>One connection: true when it came back, false when nobody captured it, null when that tells nothing.</summary>
    private async Task<bool?> LookAsync(Target target, CancellationToken stop)
    {
        if (!serves() || stop.IsCancellationRequested) return null;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop);
        limit.CancelAfter(Patience);
        try
        {
            if (target.Open(ownAddress) is not { } to) return null;
            using var socket = new Socket(target.Family, SocketType.Stream, ProtocolType.Tcp);
            // Ended by a reset: nothing is left to wait for.
            socket.LingerState = new LingerOption(true, 0);
            socket.Bind(new IPEndPoint(SourceAddress.SelfCall(target.Family), 0));
            var probe = new Probe((IPEndPoint)socket.LocalEndPoint!);
            waiting = probe;
            await socket.ConnectAsync(to, limit.Token);
            await probe.Arrived.Task.WaitAsync(limit.Token);
            return true;
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            return serves() ? false : null;
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            // The address may have gone: another one next time.
            target.Close();
            return null;
        }
        finally
        {
            waiting = null;
        }
    }

    /// <summary>One family of addresses, and a port of this host that is ours and that nobody listens on.</summary>
    private sealed class Target(AddressFamily family)
    {
        public AddressFamily Family => family;

        public string Name => family == AddressFamily.InterNetwork ? "IPv4" : "IPv6";

        public Socket? Port { get; private set; }

        public bool IsSeen { get; set; }

        public bool IsMissing { get; set; }

        public bool IsLost { get; set; }

        public long Losses { get; set; }

        public IPEndPoint? Open(Func<AddressFamily, IPAddress?> ownAddress)
        {
            if (Port is not null) return (IPEndPoint)Port.LocalEndPoint!;
            if (ownAddress(family) is not { } address) return null;
            Port = new Socket(family, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                Port.Bind(new IPEndPoint(address, 0));
                return (IPEndPoint)Port.LocalEndPoint!;
            }
            catch
            {
                Close();
                throw;
            }
        }

        public void Close()
        {
            Port?.Dispose();
            Port = null;
        }
    }

    /// <summary>A connection on its way.</summary>
    private sealed record Probe(IPEndPoint From)
    {
        public TaskCompletionSource Arrived { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
