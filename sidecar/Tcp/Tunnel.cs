using System.Buffers;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Tcp;

/// <summary>
/// Two connections with bytes going both ways. The end of one direction is passed on as such and the other goes on; a break is passed on as a
/// reset; silence on both for too long ends it. Owns both from <see cref="RunAsync"/> on.
/// </summary>
internal sealed class Tunnel(ITransport client, ITransport upstream, TcpFacts facts, TimeSpan idle, TimeProvider time)
{
    /// <summary>How long a tunnel may be silent where no rule says.</summary>
    public static readonly TimeSpan UsualIdle = TimeSpan.FromHours(1);
    private const int SmallBuffer = 4 * 1024;
    private const int LargestBuffer = 64 * 1024;
    private long lastByte;
    private volatile bool idleTooLong;
    private int firstBreak;

    /// <summary>Runs to the end.</summary>
    public async Task<(Failure Failure, string Detail)> RunAsync()
    {
        lastByte = time.GetTimestamp();
        var look = TimeSpan.FromTicks(Math.Clamp(idle.Ticks / 4, TimeSpan.TicksPerMillisecond, TimeSpan.TicksPerMinute));
        await using var watch = idle > TimeSpan.Zero ? time.CreateTimer(_ => EndWhenIdle(), null, look, look) : null;
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
        var buffer = ArrayPool<byte>.Shared.Rent(SmallBuffer);
        var sending = false;
        try
        {
            while (true)
            {
                sending = false;
                var count = await from.ReceiveAsync(buffer);
                sending = true;
                if (count == 0) break;
                await to.SendAsync(buffer.AsMemory(0, count));
                Note(count, isUp);
                Fit(ref buffer, count);
            }

            await to.EndSendingAsync();
        }
        catch (Exception e) when (Transports.IsBreak(e))
        {
            // One side is gone: what the other still sends has nowhere to go, and what it waits for will not come.
            Interlocked.CompareExchange(ref firstBreak, (int)(isUp == sending ? Broke.Upstream : Broke.Client), (int)Broke.None);
            client.Reset();
            upstream.Reset();
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Large buffers while bytes pour, a small one while they drip: memory follows traffic.</summary>
    private static void Fit(ref byte[] buffer, int count)
    {
        var wanted = count == buffer.Length ? Math.Min(LargestBuffer, buffer.Length * 4) : count <= SmallBuffer / 4 ? SmallBuffer : buffer.Length;
        if (wanted == buffer.Length) return;
        ArrayPool<byte>.Shared.Return(buffer);
        buffer = ArrayPool<byte>.Shared.Rent(wanted);
    }

    private void Note(int count, bool isUp)
    {
        // One writer each; telemetry reads them meanwhile.
        if (isUp) Volatile.Write(ref facts.ReceivedBytes, facts.ReceivedBytes + count);
        else Volatile.Write(ref facts.SentBytes, facts.SentBytes + count);
        Volatile.Write(ref lastByte, time.GetTimestamp());
    }

    private void EndWhenIdle()
    {
        if (time.GetElapsedTime(Volatile.Read(ref lastByte)) < idle) return;
        idleTooLong = true;
        client.Reset();
        upstream.Reset();
    }

    private (Failure Failure, string Detail) Describe()
    {
        if (idleTooLong) return (Failure.StreamIdle, $"no byte in either direction for {idle}");
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
