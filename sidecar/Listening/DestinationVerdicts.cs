using System.Collections.Concurrent;
using System.Net;
using Google.Protobuf;
using Mesh.Api.V1;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Listening;

/// <summary>Asks the control plane what stands behind an address.</summary>
internal delegate Task<DestinationAnswer> AskDestination(DestinationQuery query, CancellationToken cancel);

/// <summary>
/// Says of a destination that the configuration does not know whether plaintext may go there. Outside of the mesh's own ranges it may; inside,
/// only after the control plane has said that nobody of the mesh is there: not knowing is not permission. Its answers are kept, beyond their
/// validity while it is away; many connections to one destination ask once. Thread safe; bounded; lives as long as the data path.
/// </summary>
internal sealed class DestinationVerdicts(AskDestination? ask, TimeProvider time)
{
    private const int MostKept = 10_000;
    private const int MostAsked = 100;
    private const int MostWaiting = 2000;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan AskAgain = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan MostValid = TimeSpan.FromHours(1);
    private readonly ConcurrentDictionary<IPEndPoint, Kept> kept = new();
    private readonly ConcurrentDictionary<IPEndPoint, Task<Verdict>> asked = new();
    private readonly SemaphoreSlim turns = new(MostAsked);

    /// <summary>Raised when an answer has come, on the thread that got it. Handlers must not block.</summary>
    public event Action? Changed;

    /// <summary>The answers that are kept, for the next start.</summary>
    public IEnumerable<KeptConfiguration.Types.Destination> Answers =>
        kept.Select(pair => new KeptConfiguration.Types.Destination { Query = QueryOf(pair.Key), Answer = pair.Value.Answer });

    /// <summary>Answers that are kept.</summary>
    public int Count => kept.Count;

    /// <summary>The addresses that are the mesh's own whatever its ranges are: those of endpoints.</summary>
    public RegisteredAddresses Registered { get; init; } = new();

    /// <summary>The verdict on a destination; comes within two seconds.</summary>
    public ValueTask<Verdict> OfAsync(Snapshot snapshot, IPEndPoint destination)
    {
        var ranges = snapshot.Ranges;
        if (ranges is null) return new(Verdict.Refused("no_ranges", "the control plane has not said yet which addresses are the mesh's own"));
        // IPv4 written as IPv6 is the same place, and the control plane knows it by one name.
        destination = OriginalDestination.Unmapped(destination);
        var kind = ranges.KindOf(destination);
        if (kind == RangeKind.Virtual) return new(Verdict.Refused("no_service", $"no service has the virtual address {destination}"));
        if (kind == RangeKind.None && ask is not null && !IPAddress.IsLoopback(destination.Address) && Registered.Has(snapshot, destination.Address)) kind = RangeKind.Pod;
        if (kind == RangeKind.None || ranges.ControlPlanePorts.Contains(destination.Port)) return new(Verdict.Pass);
        if (kept.TryGetValue(destination, out var known) && time.GetTimestamp() < known.Until) return new(known.Verdict);
        return new(asked.TryGetValue(destination, out var running) ? running : Ask(destination));
    }

    /// <summary>
    /// Takes answers of before this start. They hold while nobody can be asked, and each is asked for again when it is needed. What cannot be read
    /// is left out: it will be asked for.
    /// </summary>
    public void Remember(IEnumerable<KeptConfiguration.Types.Destination> answers)
    {
        foreach (var (query, answer) in answers.Take(MostKept).Select(one => (one.Query, one.Answer)))
        {
            if (query is not { Address.Length: 4 or 16, Port: > 0 and <= 65535 } || answer is null) continue;
            var destination = new IPEndPoint(new IPAddress(query.Address.Span), (int)query.Port);
            if (Read(destination, answer) is { } verdict) kept[destination] = new Kept(verdict, time.GetTimestamp(), answer);
        }
    }

    private static DestinationQuery QueryOf(IPEndPoint destination) =>
        new() { Address = ByteString.CopyFrom(destination.Address.GetAddressBytes()), Port = (uint)destination.Port };

    private Task<Verdict> Ask(IPEndPoint destination)
    {
        if (asked.Count >= MostWaiting) return Task.FromResult(Unanswered(destination, "too many destinations are asked for at once"));
        var begun = new TaskCompletionSource<Verdict>(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!asked.TryAdd(destination, begun.Task)) return asked.TryGetValue(destination, out var running) ? running : Ask(destination);
        _ = AskAsync(destination, begun);
        return begun.Task;
    }

    private async Task AskAsync(IPEndPoint destination, TaskCompletionSource<Verdict> done)
    {
        Verdict verdict;
        try
        {
            if (ask is null) throw new InvalidOperationException("there is no control plane to ask");
            using var bound = new CancellationTokenSource(Patience, time);
            verdict = Keep(destination, await AskInTurnAsync(ask, destination, bound.Token));
        }
        catch (Exception e)
        {
            // Whatever went wrong: somebody waits for the answer.
            verdict = Unanswered(destination, e is OperationCanceledException ? $"it did not answer within {Patience.TotalSeconds} s" : e.Message);
        }

        asked.TryRemove(destination, out _);
        done.SetResult(verdict);
    }

    /// <summary>Many at once wait for each other, within their time; whoever is asked has no longer than that, whether he heeds it or not.</summary>
    private async Task<DestinationAnswer> AskInTurnAsync(AskDestination ask, IPEndPoint destination, CancellationToken bound)
    {
        await turns.WaitAsync(bound);
        try
        {
            return await ask(QueryOf(destination), bound).WaitAsync(bound);
        }
        finally
        {
            turns.Release();
        }
    }

    /// <summary>What was said last still holds while nobody can be asked; it is asked again in a few seconds.</summary>
    private Verdict Unanswered(IPEndPoint destination, string why)
    {
        if (!kept.TryGetValue(destination, out var last))
            return Verdict.Refused("unanswered", $"{destination} is an address of the mesh, and the control plane could not say who is there: {why}");
        kept[destination] = last with { Until = After(AskAgain) };
        return last.Verdict;
    }

    private Verdict Keep(IPEndPoint destination, DestinationAnswer answer)
    {
        var verdict = Read(destination, answer);
        if (verdict is null) throw new InvalidOperationException("its answer says nothing this sidecar understands");
        var valid = answer.ValidFor?.ToTimeSpan() ?? TimeSpan.Zero;
        if (kept.Count >= MostKept) MakeRoom();
        kept[destination] = new Kept(verdict, After(valid < AskAgain ? AskAgain : valid > MostValid ? MostValid : valid), answer);
        Changed?.Invoke();
        return verdict;
    }

    private static Verdict? Read(IPEndPoint destination, DestinationAnswer answer) => answer.Verdict switch
    {
        DestinationAnswer.Types.Verdict.NotMeshed => Verdict.Pass,
        DestinationAnswer.Types.Verdict.Refused => Verdict.Refused("refused", $"{destination} must not be reached from here: {answer.Reason}"),
        DestinationAnswer.Types.Verdict.Meshed when answer.Identities.Count > 0 => new Verdict { Meshed = Secured(destination, answer) },
        _ => null,
    };

    /// <summary>A cluster of that one address, called as whom the control plane says is there.</summary>
    private static Cluster Secured(IPEndPoint destination, DestinationAnswer answer)
    {
        var (name, space) = (answer.Service.Split('.') is [var n, var s, ..] ? (n, s) : ("unknown", answer.Namespace));
        var rule = new PeerRule([.. answer.Identities.Order(StringComparer.Ordinal)], []);
        return new Cluster
        {
            Name = $"looked-up|{destination}",
            Kind = ClusterKind.Endpoints,
            Policy = LbPolicy.RoundRobin,
            Service = answer.Service.Length == 0 ? ServiceLabels.None : new ServiceLabels(answer.Service, name, space, destination.Port),
            State = new ClusterState(),
            Endpoints =
            [
                new Endpoint
                {
                    Host = destination.Address.ToString(),
                    Port = destination.Port,
                    Authority = destination.ToString(),
                    Address = destination,
                    Tls = new UpstreamTls(rule, answer.Service, [Alpn.MeshTcp]),
                    Peer = answer.Workload.Length == 0 ? PeerLabels.Unknown : new PeerLabels(answer.Workload, answer.Namespace, name, "unknown"),
                    Stats = new EndpointStats(),
                },
            ],
        };
    }

    private long After(TimeSpan span) => time.GetTimestamp() + (long)(span.TotalSeconds * time.TimestampFrequency);

    /// <summary>Forgets the tenth that was asked for longest ago.</summary>
    private void MakeRoom()
    {
        foreach (var (destination, _) in kept.OrderBy(k => k.Value.Until).Take(MostKept / 10)) kept.TryRemove(destination, out _);
    }

    private sealed record Kept(Verdict Verdict, long Until, DestinationAnswer Answer);
}

/// <summary>What may be done with a connection to an unknown destination: pass it on, secure it, or refuse it. Immutable.</summary>
internal sealed record Verdict
{
    /// <summary>It passes on as it is.</summary>
    public static Verdict Pass { get; } = new();

    /// <summary>The destination as a cluster, when a workload of the mesh is there: mutual TLS, and its identity.</summary>
    public Cluster? Meshed { get; init; }

    /// <summary>Why it is refused; null when it is not.</summary>
    public CaptureRefusal? Refusal { get; init; }

    /// <summary>It is refused.</summary>
    public static Verdict Refused(string reason, string text) => new() { Refusal = new CaptureRefusal(reason, text) };
}
