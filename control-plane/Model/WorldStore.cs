using System.Collections.Immutable;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Model;

/// <summary>
/// Holds the current <see cref="World"/>. Each source writes its own slice; a change rebuilds the world and raises <see cref="Changed"/>.
/// Thread safe: writers are serialised by one lock, readers read one volatile reference.
/// </summary>
public sealed class WorldStore
{
    private readonly Lock gate = new();
    private ImmutableSortedDictionary<string, ImmutableArray<Instance>> instances = ImmutableSortedDictionary<string, ImmutableArray<Instance>>.Empty;
    private ImmutableSortedDictionary<string, RuleSet> rules = ImmutableSortedDictionary<string, RuleSet>.Empty;
    private ImmutableSortedDictionary<string, ImmutableArray<Notice>> notices = ImmutableSortedDictionary<string, ImmutableArray<Notice>>.Empty;
    private Unread unread = Unread.Nothing;
    private Trust trust = Trust.None;
    private NetworkTerms network = NetworkTerms.Default;
    private VirtualAddresses addresses = VirtualAddresses.None;
    private volatile World current = World.Empty;
    private volatile Interest interest = Interest.None;

    /// <summary>Raised after <see cref="Current"/> changed, on the writer's thread, in order. Handlers only signal; they must not block.</summary>
    public event Action<World>? Changed;

    /// <summary>Raised after <see cref="Interest"/> changed. Handlers only signal.</summary>
    public event Action<Interest>? InterestChanged;

    /// <summary>The newest world.</summary>
    public World Current => current;

    /// <summary>What connected nodes need.</summary>
    public Interest Interest => interest;

    /// <summary>Replaces the instances of one source. <see cref="SourceOrder"/> decides who wins for one id.</summary>
    public void SetInstances(string source, ImmutableArray<Instance> slice) => SetInstances(source, slice, null);

    /// <summary>The same for a registry, together with what it has not told yet: both change in one world.</summary>
    public void SetInstances(string source, ImmutableArray<Instance> slice, Unread? missing)
    {
        lock (gate)
        {
            var isUnchanged = instances.TryGetValue(source, out var old) && old.SequenceEqual(slice);
            if (isUnchanged && (missing is null || missing == unread)) return;
            unread = missing ?? unread;
            instances = instances.SetItem(source, slice);
            Publish();
        }
    }

    /// <summary>Replaces the rules of one source.</summary>
    public void SetRules(string source, RuleSet set)
    {
        lock (gate)
        {
            rules = rules.SetItem(source, set);
            Publish();
        }
    }

    /// <summary>Replaces what the certificate authority says: trust domain, roots, revocations, grants.</summary>
    public void SetTrust(Trust value)
    {
        lock (gate)
        {
            if (trust.Equals(value)) return;
            trust = value;
            Publish();
        }
    }

    /// <summary>Replaces what the operator says of the network.</summary>
    public void SetNetwork(NetworkTerms value)
    {
        lock (gate)
        {
            if (network.Equals(value)) return;
            network = value;
            Publish();
        }
    }

    /// <summary>Replaces the addresses given to services.</summary>
    public void SetVirtual(VirtualAddresses value)
    {
        lock (gate)
        {
            if (ReferenceEquals(addresses, value)) return;
            addresses = value;
            Publish();
        }
    }

    /// <summary>The rules of all sources, for sources that must know which services they lead to.</summary>
    public IEnumerable<RuleSet> Rules
    {
        get
        {
            lock (gate) return rules.Values;
        }
    }

    /// <summary>Replaces what one source finds odd; it is shown among the notices of the world.</summary>
    public void SetNotices(string source, ImmutableArray<Notice> value)
    {
        lock (gate)
        {
            if (notices.GetValueOrDefault(source, []).SequenceEqual(value)) return;
            notices = notices.SetItem(source, value);
            Publish();
        }
    }

    /// <summary>Says which services nodes need; written by the xDS server, read by sources.</summary>
    public void SetInterest(Interest value)
    {
        lock (gate)
        {
            if (interest.All == value.All && interest.Services.SetEquals(value.Services)) return;
            interest = value;
        }

        InterestChanged?.Invoke(value);
    }

    private void Publish()
    {
        var built = WorldBuilder.Build(current, instances, rules, trust);
        current = built with { Notices = [.. built.Notices, .. notices.Values.SelectMany(n => n)], Unread = unread, Network = network, Virtual = addresses };
        Changed?.Invoke(current);
    }
}
