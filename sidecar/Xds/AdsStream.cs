using Envoy.Config.Core.V3;
using Envoy.Service.Discovery.V3;
using Google.Rpc;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;

namespace Mesh.Sidecar.Xds;

/// <summary>
/// The state-of-the-world protocol of one ADS stream, without the stream: answers in, requests out. Knows the last nonce and the names
/// asked for of each type. Pure but for that; one thread; thrown away with its stream.
/// Roots and revocations are asked for on a stream that is <paramref name="secured"/>, the mesh's own addresses by one that is secured or <paramref name="captures"/>,
/// its names by one that <paramref name="resolves"/>.
/// </summary>
internal sealed class AdsStream(Node node, bool secured, bool captures = false, bool resolves = false)
{
    private const int InvalidArgument = 3;
    private static readonly string[] RootsNames = [TlsContexts.RootsName];
    private static readonly string[] RevocationsNames = [TypeUrls.RevocationsName];
    private static readonly string[] RangesNames = [TypeUrls.RangesName, .. RangesBuilder.Names];
    private static readonly string[] NamesNames = [TypeUrls.NamesName];

    /// <summary>Make before break: what is referred to is asked for before what refers to it.</summary>
    private static readonly string[] Order = [TypeUrls.Cluster, TypeUrls.ClusterLoadAssignment, TypeUrls.Listener, TypeUrls.RouteConfiguration];

    /// <summary>What is sent to authenticated nodes only. First: what is refused must not be served while the rest warms up.</summary>
    private static readonly string[] SecuredOrder = [TypeUrls.IdentityRevocations, TypeUrls.Secret, .. Order];

    private readonly Dictionary<string, Subscription> subscriptions = new(StringComparer.Ordinal);
    private bool introduced;

    /// <summary>The first requests: all clusters and listeners, and by name what the last good resources refer to, with their versions.</summary>
    public IReadOnlyList<DiscoveryRequest> Open(ResourceSet set)
    {
        var requests = new List<DiscoveryRequest>();
        string[] own = [.. captures || secured ? [TypeUrls.MeshRanges] : Array.Empty<string>(), .. resolves ? [TypeUrls.NameTable] : Array.Empty<string>()];
        foreach (var type in own.Concat(secured ? SecuredOrder : Order))
        {
            var names = Wanted(set, type);
            if (names is { Count: 0 }) continue; // An empty list would ask for everything.
            Of(type).Names = names;
            requests.Add(Request(set, type));
        }

        return requests;
    }

    /// <summary>
    /// Takes an answer: the set with it, or the same set when it is refused, and the requests to send for it:
    /// ACK or NACK, and names that are newly needed or not needed any more.
    /// </summary>
    public AdsStep Take(ResourceSet set, DiscoveryResponse response)
    {
        var errors = new ConfigErrors();
        var type = response.TypeUrl;
        var next = ResourceSetBuilder.With(set, type, response.VersionInfo, response.Resources, errors);
        Of(type).Nonce = response.Nonce;
        var reply = Request(next, type);
        if (errors.Count > 0)
        {
            reply.ErrorDetail = new Status { Code = InvalidArgument, Message = errors.ToString() };
            return new AdsStep(set, [reply], errors);
        }

        var requests = new List<DiscoveryRequest> { reply };
        if (type == TypeUrls.Cluster) Resubscribe(next, TypeUrls.ClusterLoadAssignment, requests);
        if (type == TypeUrls.Listener) Resubscribe(next, TypeUrls.RouteConfiguration, requests);
        return new AdsStep(next, requests, errors);
    }

    private void Resubscribe(ResourceSet set, string type, List<DiscoveryRequest> requests)
    {
        var names = Wanted(set, type)!;
        var subscription = Of(type);
        if (names.SequenceEqual(subscription.Names ?? [], StringComparer.Ordinal)) return;
        subscription.Names = names;
        requests.Add(Request(set, type));
    }

    private DiscoveryRequest Request(ResourceSet set, string type)
    {
        var subscription = Of(type);
        var request = new DiscoveryRequest
        {
            TypeUrl = type,
            VersionInfo = set.Versions.GetValueOrDefault(type, ""),
            ResponseNonce = subscription.Nonce,
            Node = introduced ? null : node,
        };
        request.ResourceNames.Add(subscription.Names ?? []);
        introduced = true;
        return request;
    }

    /// <summary>Names to ask for; null is all there are.</summary>
    private static IReadOnlyCollection<string>? Wanted(ResourceSet set, string type) => type switch
    {
        TypeUrls.RouteConfiguration => set.RoutesWanted,
        TypeUrls.ClusterLoadAssignment => set.EndpointsWanted,
        TypeUrls.Secret => RootsNames,
        TypeUrls.IdentityRevocations => RevocationsNames,
        TypeUrls.MeshRanges => RangesNames,
        TypeUrls.NameTable => NamesNames,
        _ => null,
    };

    private Subscription Of(string type)
    {
        if (!subscriptions.TryGetValue(type, out var subscription)) subscriptions.Add(type, subscription = new Subscription());
        return subscription;
    }

    private sealed class Subscription
    {
        public string Nonce { get; set; } = "";

        public IReadOnlyCollection<string>? Names { get; set; }
    }
}

/// <summary>What an answer led to.</summary>
/// <param name="Set">The resources from now on.</param>
/// <param name="Requests">What to send.</param>
/// <param name="Errors">Why it was refused; empty when it was accepted.</param>
internal sealed record AdsStep(ResourceSet Set, IReadOnlyList<DiscoveryRequest> Requests, ConfigErrors Errors);
