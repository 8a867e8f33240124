using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Tcp;

/// <summary>How long a tunnel may go on.</summary>
/// <param name="Idle">With both sides silent; zero is for ever.</param>
/// <param name="Age">At all; zero is for ever.</param>
internal readonly record struct TunnelBounds(TimeSpan Idle, TimeSpan Age);

/// <summary>
/// Two connections with bytes going both ways. The end of one direction is passed on as such and the other goes on; a break is passed on as a
/// reset; silence on both for too long ends it. Owns both from <see cref="RunAsync"/> on.
/// </summary>
internal sealed class Tunnel(ITransport client, ITransport upstream, TcpFacts facts, TunnelBounds bounds, TimeProvider time)
{
    /// <summary>How long a tunnel may be silent where no rule says.</summary>
    public static readonly TimeSpan UsualIdle = TimeSpan.FromHours(1);
    private long lastByte;
    private long begun;
    private volatile string? over;
    private int firstBreak;

    /// <summary>Runs to the end.</summary>
    public async Task<(Failure Failure, string Detail)> RunAsync()
    {
        begun = lastByte = time.GetTimestamp();
        await using var watch = Shortest() is { } bound ? time.CreateTimer(_ => EndWhenOver(), null, bound, bound) : null;
        var up = CopyAsync(client, upstream, isUp: true);
        var down = CopyAsync(upstream, client, isUp: false);
        await up;
        await down;
        client.Dispose();
        upstream.Dispose();
        return Describe();
    }

    private async Task CopyAsync(ITransport from, ITransport to, bool isUp)
    {
        var flow = new Flow(from, to, count => Note(count, isUp));
        try
        {
            await flow.RunAsync();
        }
        catch (Exception e) when (Transports.IsBreak(e))
        {
            // One side is gone: what the other still sends has nowhere to go, and what it waits for will not come.
            Interlocked.CompareExchange(ref firstBreak, (int)(isUp == flow.IsSending ? Broke.Upstream : Broke.Client), (int)Broke.None);
            client.Reset();
            upstream.Reset();
        }
    }

    private void Note(int count, bool isUp)
    {
        // One writer each; telemetry reads them meanwhile.
        if (isUp) Volatile.Write(ref facts.ReceivedBytes, facts.ReceivedBytes + count);
        else Volatile.Write(ref facts.SentBytes, facts.SentBytes + count);
        Volatile.Write(ref lastByte, time.GetTimestamp());
    }

    /// <summary>How often to look: four times within the shorter bound, at least once a minute.</summary>
    private TimeSpan? Shortest()
    {
        var (idle, age) = bounds;
        var shortest = idle > TimeSpan.Zero && (age <= TimeSpan.Zero || idle < age) ? idle : age;
        return shortest > TimeSpan.Zero ? TimeSpan.FromTicks(Math.Clamp(shortest.Ticks / 4, TimeSpan.TicksPerMillisecond, TimeSpan.TicksPerMinute)) : null;
    }

    private void EndWhenOver()
    {
        if (bounds.Idle > TimeSpan.Zero && time.GetElapsedTime(Volatile.Read(ref lastByte)) >= bounds.Idle) over = $"no byte in either direction for {bounds.Idle}";
        else if (bounds.Age > TimeSpan.Zero && time.GetElapsedTime(begun) >= bounds.Age) over = $"open for {bounds.Age}, the longest a TCP connection may be here";
        if (over is null) return;
        client.Reset();
        upstream.Reset();
    }

    private (Failure Failure, string Detail) Describe()
    {
        if (over is { } why) return (Failure.StreamIdle, why);
        return (Broke)firstBreak switch
        {
            Broke.Client => (Failure.ClientGone, "the client reset the connection"),
            Broke.Upstream => (Failure.UpstreamClosed, "the instance reset the connection"),
            _ => (Failure.None, ""),
        };
    }

    private enum Broke
    {
        None,
        Client,
        Upstream,
    }
}
