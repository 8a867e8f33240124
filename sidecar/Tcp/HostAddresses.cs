using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;

namespace Mesh.Sidecar.Tcp;

/// <summary>Asks the machine's resolver for the addresses of a host.</summary>
internal delegate Task<IPAddress[]> ResolveHost(string host, CancellationToken cancel);

/// <summary>
/// The addresses of hosts that clusters name (STRICT_DNS, LOGICAL_DNS): asked for when somebody connects, at most every five seconds whatever their
/// time to live, once for many. What was heard last holds while nobody answers; a host that is gone has none. Nothing runs while nobody
/// connects. Thread safe; bounded; lives as long as the data path.
/// </summary>
internal sealed class HostAddresses(ResolveHost resolve, TimeProvider time)
{
    /// <summary>How long an answer is used before it is asked for again.</summary>
    public static readonly TimeSpan RefreshAfter = TimeSpan.FromSeconds(5);

    /// <summary>How long an answer is waited for where an older one is known.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private const int MostKept = 1000;
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(5);
    private readonly ConcurrentDictionary<string, Host> hosts = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>How many hosts are kept.</summary>
    public int Count => hosts.Count;

    /// <summary>The addresses of a host, IPv4 first, each time beginning with another one; a <see cref="SocketException"/> says why there are none.</summary>
    public async ValueTask<ImmutableArray<IPAddress>> OfAsync(string host, CancellationToken cancel)
    {
        var known = hosts.GetOrAdd(host, static _ => new Host());
        if (hosts.Count > MostKept) MakeRoom(known);
        known.Asked = time.GetTimestamp();
        if (known.Answer is { } fresh && time.GetTimestamp() < fresh.Until) return known.InTurn(fresh);
        var lookup = known.Begin(() => LookUpAsync(host, known));
        try
        {
            var answer = known.Answer is null ? await lookup.WaitAsync(cancel) : await lookup.WaitAsync(Patience, time, cancel);
            return known.InTurn(answer);
        }
        catch (TimeoutException) when (known.Answer is { } last)
        {
            return known.InTurn(known.Keep(last, After(RefreshAfter)));
        }
        catch (SocketException e) when (e.SocketErrorCode != SocketError.HostNotFound && known.Answer is { } last)
        {
            return known.InTurn(known.Keep(last, After(RefreshAfter)));
        }
    }

    private async Task<Answer> LookUpAsync(string host, Host known)
    {
        try
        {
            using var bound = new CancellationTokenSource(Bound, time);
            var found = await resolve(host, bound.Token).WaitAsync(bound.Token);
            if (found.Length == 0) throw new SocketException((int)SocketError.HostNotFound);
            return known.Answer = new Answer(
                [.. found.Where(a => a.AddressFamily == AddressFamily.InterNetwork)], [.. found.Where(a => a.AddressFamily == AddressFamily.InterNetworkV6)], After(RefreshAfter));
        }
        catch (OperationCanceledException)
        {
            throw new SocketException((int)SocketError.TryAgain);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.HostNotFound)
        {
            known.Answer = null;
            throw;
        }
        finally
        {
            known.Done();
        }
    }

    private long After(TimeSpan span) => time.GetTimestamp() + (long)(span.TotalSeconds * time.TimestampFrequency);

    /// <summary>Forgets the tenth that was asked for longest ago.</summary>
    private void MakeRoom(Host newest)
    {
        foreach (var (host, old) in hosts.OrderBy(pair => pair.Value.Asked).Take(MostKept / 10))
        {
            if (old != newest) hosts.TryRemove(host, out _);
        }
    }

    /// <summary>What was heard of a host. Immutable.</summary>
    private sealed record Answer(ImmutableArray<IPAddress> V4, ImmutableArray<IPAddress> V6, long Until);

    /// <summary>A host: the last answer, and the question that is under way. Thread safe.</summary>
    private sealed class Host
    {
        private readonly Lock turn = new();
        private Task<Answer>? asking;
        private volatile Answer? answer;
        private uint cursor;

        public Answer? Answer
        {
            get => answer;
            set => answer = value;
        }

        public long Asked { get; set; }

        /// <summary>Uses an old answer for a while longer, unless there is another by now: who comes next does not wait for a resolver that is known to be silent.</summary>
        public Answer Keep(Answer last, long until)
        {
            var longer = last with { Until = until };
            Interlocked.CompareExchange(ref answer, longer, last);
            return longer;
        }

        public Task<Answer> Begin(Func<Task<Answer>> ask)
        {
            lock (turn) return asking is { IsCompleted: false } running ? running : asking = Task.Run(ask);
        }

        public void Done()
        {
            lock (turn) asking = null;
        }

        public ImmutableArray<IPAddress> InTurn(Answer heard)
        {
            var first = Interlocked.Increment(ref cursor) - 1;
            return [.. Rotated(heard.V4, first), .. Rotated(heard.V6, first)];
        }

        private static IEnumerable<IPAddress> Rotated(ImmutableArray<IPAddress> addresses, uint first) =>
            Enumerable.Range(0, addresses.Length).Select(i => addresses[(int)((first + (uint)i) % (uint)addresses.Length)]);
    }
}
