using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model.Policies;

/// <summary>An AuthorizationPolicy document (security.istio.io/v1): who may call what. Immutable; validated before it gets here.</summary>
public sealed record AuthorizationPolicy
{
    /// <summary>Namespace and name of the document; in <see cref="PolicySet.RootNamespace"/> it holds for the whole mesh.</summary>
    public required ServiceName Name { get; init; }

    /// <summary>Labels a workload must carry; empty for all of the namespace.</summary>
    public ImmutableSortedDictionary<string, string> Selector { get; init; } = ImmutableSortedDictionary<string, string>.Empty;

    /// <summary>The services whose workloads it is for; empty when the selector says it.</summary>
    public ImmutableArray<ServiceName> Targets { get; init; } = [];

    /// <summary>What a match means.</summary>
    public PolicyAction Action { get; init; }

    /// <summary>Any of these; none never matches.</summary>
    public ImmutableArray<AuthorizationRule> Rules { get; init; } = [];

    /// <summary>True when it only reports what it would do.</summary>
    public bool DryRun { get; init; }

    /// <summary>True when a client that is refused on its ports is told which policy did it (x-mesh-denied-by).</summary>
    public bool TellsClient { get; init; }

    /// <summary>Where it was written.</summary>
    public required Provenance Source { get; init; }

    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(AuthorizationPolicy? other) =>
        ReferenceEquals(this, other) || (other is not null
            && Name == other.Name
            && Sequence.Same(Selector, other.Selector)
            && Sequence.Same(Targets, other.Targets)
            && Action == other.Action
            && Sequence.Same(Rules, other.Rules)
            && DryRun == other.DryRun
            && TellsClient == other.TellsClient
            && Source == other.Source);

    /// <inheritdoc/>
    public override int GetHashCode() => Name.GetHashCode();
}

/// <summary>What a policy does with what it matches.</summary>
public enum PolicyAction
{
    /// <summary>Lets it through; what no ALLOW policy matches is denied where there is one.</summary>
    Allow,

    /// <summary>Denies it, whatever allows it.</summary>
    Deny,

    /// <summary>Notes it and decides nothing.</summary>
    Audit,
}

/// <summary>One rule: any source, any operation and every condition must match; an empty list matches everything.</summary>
/// <param name="From">Who calls.</param>
/// <param name="To">What is called.</param>
/// <param name="When">What else must hold.</param>
/// <param name="Source">Where the rule was written.</param>
public sealed record AuthorizationRule(
    ImmutableArray<CallSource> From, ImmutableArray<CallOperation> To, ImmutableArray<CallCondition> When, Provenance Source)
{
    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(AuthorizationRule? other) =>
        ReferenceEquals(this, other) || (other is not null
            && Sequence.Same(From, other.From)
            && Sequence.Same(To, other.To)
            && Sequence.Same(When, other.When)
            && Source == other.Source);

    /// <inheritdoc/>
    public override int GetHashCode() => Source.GetHashCode();
}

/// <summary>Who calls; all parts must match.</summary>
/// <param name="Principals">Identities.</param>
/// <param name="Namespaces">Namespaces of identities.</param>
/// <param name="ServiceAccounts">Accounts, as <c>namespace/account</c>.</param>
/// <param name="IpBlocks">Addresses the connection comes from, in CIDR form.</param>
public sealed record CallSource(Values Principals, Values Namespaces, Values ServiceAccounts, Values IpBlocks);

/// <summary>What is called; all parts must match.</summary>
/// <param name="Hosts">Host of the request.</param>
/// <param name="Ports">Port of the application.</param>
/// <param name="Methods">HTTP method.</param>
/// <param name="Paths">Path in its canonical form, without query.</param>
public sealed record CallOperation(Values Hosts, Values Ports, Values Methods, Values Paths)
{
    /// <summary>True when only HTTP has what it looks at.</summary>
    public bool IsHttp => !Hosts.IsEmpty || !Methods.IsEmpty || !Paths.IsEmpty;
}

/// <summary>A further condition.</summary>
/// <param name="Attribute">What is looked at.</param>
/// <param name="Header">Name of the header in lower case, for <see cref="CallAttribute.RequestHeader"/>; else empty.</param>
/// <param name="Values">What it must be or not be.</param>
public sealed record CallCondition(CallAttribute Attribute, string Header, Values Values)
{
    /// <summary>True when only HTTP has what it looks at.</summary>
    public bool IsHttp => Attribute == CallAttribute.RequestHeader;
}

/// <summary>What a condition looks at.</summary>
public enum CallAttribute
{
    /// <summary><c>request.headers[name]</c>.</summary>
    RequestHeader,

    /// <summary><c>source.ip</c>: the address the connection comes from.</summary>
    SourceIp,

    /// <summary><c>source.namespace</c>.</summary>
    SourceNamespace,

    /// <summary><c>source.serviceAccount</c>.</summary>
    SourceServiceAccount,

    /// <summary><c>source.principal</c>.</summary>
    SourcePrincipal,

    /// <summary><c>destination.ip</c>: the address the connection came to.</summary>
    DestinationIp,

    /// <summary><c>destination.port</c>: the port of the application.</summary>
    DestinationPort,
}

/// <summary>One of <paramref name="Any"/> (none: anything) and none of <paramref name="Not"/>.</summary>
public sealed record Values(ImmutableArray<string> Any, ImmutableArray<string> Not)
{
    /// <summary>Nothing is asked.</summary>
    public static Values None { get; } = new([], []);

    /// <summary>True when nothing is asked.</summary>
    public bool IsEmpty => Any.IsEmpty && Not.IsEmpty;

    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(Values? other) =>
        ReferenceEquals(this, other) || (other is not null && Sequence.Same(Any, other.Any) && Sequence.Same(Not, other.Not));

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Any.Length, Not.Length);
}
