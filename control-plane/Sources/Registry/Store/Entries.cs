namespace Mesh.ControlPlane.Sources.Registry.Store;

/// <summary>The words Consul uses for the state of a check.</summary>
internal static class CheckStatus
{
    public const string Passing = "passing";
    public const string Warning = "warning";
    public const string Critical = "critical";

    public static bool IsKnown(string status) => status is Passing or Warning or Critical;
}

/// <summary>An address of a service under a name such as "lan". Immutable.</summary>
internal sealed record ServiceAddress(string Address, int Port);

/// <summary>How much traffic an instance takes while its checks pass or warn. Immutable.</summary>
internal sealed record ServiceWeights(int Passing, int Warning);

/// <summary>One instance of a service on a node, as the catalog keeps it. Immutable.</summary>
internal sealed record ServiceEntry
{
    public required string Id { get; init; }

    public required string Name { get; init; }

    public string Address { get; init; } = "";

    public int Port { get; init; }

    public IReadOnlyList<string> Tags { get; init; } = [];

    public IReadOnlyDictionary<string, string> Meta { get; init; } = Map.Empty<string>();

    public IReadOnlyDictionary<string, ServiceAddress> TaggedAddresses { get; init; } = Map.Empty<ServiceAddress>();

    public ServiceWeights Weights { get; init; } = new(1, 1);

    public bool EnableTagOverride { get; init; }

    public ulong CreateIndex { get; init; }

    public ulong ModifyIndex { get; init; }

    /// <summary>Do both say the same? Indexes are left out: a registration that changes nothing must not wake anybody.</summary>
    public bool SaysSameAs(ServiceEntry other) =>
        Id == other.Id && Name == other.Name && Address == other.Address && Port == other.Port && Weights == other.Weights
        && EnableTagOverride == other.EnableTagOverride && Tags.SequenceEqual(other.Tags, StringComparer.Ordinal)
        && Map.Same(Meta, other.Meta) && Map.Same(TaggedAddresses, other.TaggedAddresses);
}

/// <summary>The state of one check of a node or of a service on it. Immutable.</summary>
internal sealed record CheckEntry
{
    public required string Node { get; init; }

    public required string Id { get; init; }

    public string Name { get; init; } = "";

    public string Status { get; init; } = CheckStatus.Critical;

    public string Notes { get; init; } = "";

    public string Output { get; init; } = "";

    /// <summary>Empty = a check of the node, which counts for all services on it.</summary>
    public string ServiceId { get; init; } = "";

    public string ServiceName { get; init; } = "";

    public IReadOnlyList<string> ServiceTags { get; init; } = [];

    public string Type { get; init; } = "";

    public string Interval { get; init; } = "";

    public string Timeout { get; init; } = "";

    public ulong CreateIndex { get; init; }

    public ulong ModifyIndex { get; init; }

    public bool SaysSameAs(CheckEntry other) =>
        Id == other.Id && Name == other.Name && Status == other.Status && Notes == other.Notes && Output == other.Output
        && ServiceId == other.ServiceId && ServiceName == other.ServiceName && Type == other.Type && Interval == other.Interval
        && Timeout == other.Timeout && ServiceTags.SequenceEqual(other.ServiceTags, StringComparer.Ordinal);
}

/// <summary>A key with its value and, while it is locked, the session that holds it. Immutable; the value is never written to.</summary>
internal sealed record KvEntry(string Key)
{
    public byte[] Value { get; init; } = [];

    public ulong Flags { get; init; }

    public ulong LockIndex { get; init; }

    public string Session { get; init; } = "";

    public ulong CreateIndex { get; init; }

    public ulong ModifyIndex { get; init; }

    public bool SaysSameAs(KvEntry other) =>
        Flags == other.Flags && LockIndex == other.LockIndex && Session == other.Session && Value.AsSpan().SequenceEqual(other.Value);
}

/// <summary>A lock holder that ends when it is not renewed, when its node leaves or when one of its checks turns critical. Immutable.</summary>
internal sealed record SessionEntry
{
    public required string Id { get; init; }

    public required string Node { get; init; }

    public string Name { get; init; } = "";

    /// <summary>For how long nobody may take a lock that this session lost.</summary>
    public TimeSpan LockDelay { get; init; }

    /// <summary>True: the keys it holds vanish with it. False: they are only released.</summary>
    public bool DeletesKeys { get; init; }

    /// <summary>The time to live as it was given; empty = for ever.</summary>
    public string Ttl { get; init; } = "";

    public TimeSpan TimeToLive { get; init; }

    public IReadOnlyList<string> NodeChecks { get; init; } = [];

    public IReadOnlyList<string> ServiceChecks { get; init; } = [];

    public ulong CreateIndex { get; init; }

    public ulong ModifyIndex { get; init; }
}
