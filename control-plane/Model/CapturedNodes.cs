using System.Collections.Immutable;
using System.Net;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Model;

/// <summary>
/// The nodes whose inbound traffic is captured and that are connected, or were until a grace time ago, by the address they have: they take mutual
/// TLS whether they are registered yet or not. Only nodes that proved an identity. Thread safe; lives as long as the program.
/// </summary>
/// <param name="grace">How long a node that went counts as there.</param>
/// <param name="time">The clock.</param>
internal sealed class CapturedNodes(TimeSpan grace, TimeProvider time)
{
    /// <summary>Nodes that went are forgotten early beyond this many: an address nobody registered is not worth memory without bound.</summary>
    public const int MostGone = 20_000;

    /// <summary>Nodes at one address that are told apart; who comes after them is of the mesh there by those.</summary>
    public const int MostAtAddress = 256;

    private readonly Lock gate = new();
    private readonly Dictionary<IPAddress, ImmutableArray<Entry>> entries = [];
    private readonly Queue<(IPAddress Address, Entry Entry, long At)> gone = [];

    /// <summary>A node has connected by <paramref name="stream"/>.</summary>
    public void Add(object stream, CapturedNode node)
    {
        lock (gate)
        {
            Forget();
            // The same node again is there, not gone.
            var others = At(node.Address).Where(entry => entry.Stream is not null || entry.Node.Identity != node.Identity || entry.Node.Workload != node.Workload);
            ImmutableArray<Entry> all = [.. others, new Entry(stream, node)];
            entries[node.Address] = all.Length <= MostAtAddress ? all : Fewer(all);
        }
    }

    /// <summary>The stream of a node has ended; nothing happens where it is not known.</summary>
    public void Remove(object stream, IPAddress address)
    {
        lock (gate)
        {
            Forget();
            if (At(address).FirstOrDefault(entry => ReferenceEquals(entry.Stream, stream)) is not { } held) return;
            var left = held with { Stream = null };
            entries[address] = At(address).Replace(held, left);
            gone.Enqueue((address, left, time.GetTimestamp()));
        }
    }

    /// <summary>The nodes at an address.</summary>
    public IReadOnlyList<CapturedNode> Nodes(IPAddress address)
    {
        lock (gate)
        {
            Forget();
            return [.. At(address).Select(entry => entry.Node)];
        }
    }

    // Who went goes first; then one of those that prove the same as another. All others stay: none of them is forgotten for plaintext to go there.
    private static ImmutableArray<Entry> Fewer(ImmutableArray<Entry> all) =>
        all.FirstOrDefault(entry => entry.Stream is null) is { } gone ? all.Remove(gone)
            : all.Take(all.Length - 1).Any(entry => entry.Node.Identity == all[^1].Node.Identity) ? all.RemoveAt(all.Length - 1) : all;

    private ImmutableArray<Entry> At(IPAddress address) => entries.GetValueOrDefault(address, []);

    private void Forget()
    {
        while (gone.TryPeek(out var oldest) && (gone.Count > MostGone || time.GetElapsedTime(oldest.At) >= grace))
        {
            gone.Dequeue();
            var left = At(oldest.Address).RemoveAll(entry => ReferenceEquals(entry, oldest.Entry));
            if (left.IsEmpty) entries.Remove(oldest.Address);
            else entries[oldest.Address] = left;
        }
    }

    private sealed record Entry(object? Stream, CapturedNode Node);
}

/// <summary>A node whose inbound traffic is captured. Immutable.</summary>
/// <param name="Address">Its address, as it says.</param>
/// <param name="Identity">The SPIFFE ID it proved.</param>
/// <param name="Workload">Its workload.</param>
/// <param name="Traits">What policies select it by.</param>
internal sealed record CapturedNode(IPAddress Address, string Identity, string Workload, WorkloadTraits Traits);
