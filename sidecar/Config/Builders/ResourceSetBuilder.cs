using Mesh.Api.Xds;
using System.Collections.Immutable;
using System.Security.Cryptography.X509Certificates;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Route.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>
/// Takes one answer of the control plane into a set of resources: whole, or not at all. Pure.
/// LDS and CDS answers replace what was there; RDS and EDS answers add to it, and what nobody refers to any more falls out.
/// </summary>
internal static class ResourceSetBuilder
{
    /// <summary>The set with the answer taken in, or <paramref name="set"/> itself when <paramref name="errors"/> got one.</summary>
    public static ResourceSet With(ResourceSet set, string typeUrl, string version, IReadOnlyList<Any> resources, ConfigErrors errors)
    {
        var next = typeUrl switch
        {
            TypeUrls.Listener => WithListeners(set, resources, errors),
            TypeUrls.Cluster => WithClusters(set, resources, errors),
            TypeUrls.RouteConfiguration => set with { Routes = Merge(set.Routes, Tables.Read(resources, set.Routes, errors), set.RoutesWanted) },
            TypeUrls.ClusterLoadAssignment => set with { Endpoints = Merge(set.Endpoints, Assignments.Read(resources, set.Endpoints, errors), set.EndpointsWanted) },
            TypeUrls.Secret => set with { Roots = Roots.Read(resources, set.Roots, errors) },
            TypeUrls.IdentityRevocations => set with { Revoked = RevocationsReader.Read(resources, set.Revoked, errors) },
            TypeUrls.MeshRanges => set with { Ranges = set.Ranges.SetItems(RangesReader.Read(resources, set.Ranges, errors)) },
            TypeUrls.NameTable => set with { Names = NamesReader.Read(resources, set.Names, errors) },
            _ => Unknown(set, typeUrl, errors),
        };
        return errors.Count > 0 ? set : next with { Versions = set.Versions.SetItem(typeUrl, version) };
    }

    private static readonly Reader<Envoy.Config.Listener.V3.Listener, Listener> Listeners =
        new("Listener", TypeUrls.Listener, Envoy.Config.Listener.V3.Listener.Parser, p => p.Name, ListenerBuilder.Build);

    private static readonly Reader<Envoy.Config.Cluster.V3.Cluster, ClusterSettings> Clusters =
        new("Cluster", TypeUrls.Cluster, Envoy.Config.Cluster.V3.Cluster.Parser, p => p.Name, ClusterBuilder.Build);

    private static readonly Reader<RouteConfiguration, RouteTable> Tables =
        new("RouteConfiguration", TypeUrls.RouteConfiguration, RouteConfiguration.Parser, p => p.Name, RouteTableBuilder.Build);

    private static readonly Reader<ClusterLoadAssignment, Assignment> Assignments =
        new("ClusterLoadAssignment", TypeUrls.ClusterLoadAssignment, ClusterLoadAssignment.Parser, p => p.ClusterName, EndpointsBuilder.Build);

    private static readonly Reader<Envoy.Extensions.TransportSockets.Tls.V3.Secret, ImmutableArray<X509Certificate2>> Roots =
        new("Secret", TypeUrls.Secret, Envoy.Extensions.TransportSockets.Tls.V3.Secret.Parser, p => p.Name, SecretBuilder.Build) { Strictly = true };

    private static readonly Reader<Mesh.Api.V1.IdentityRevocations, Revocations> RevocationsReader =
        new("IdentityRevocations", TypeUrls.IdentityRevocations, Mesh.Api.V1.IdentityRevocations.Parser, _ => TypeUrls.RevocationsName, RevocationsBuilder.Build) { Strictly = true };

    private static readonly Reader<Mesh.Api.V1.MeshRanges, MeshRanges> RangesReader =
        new("MeshRanges", TypeUrls.MeshRanges, Mesh.Api.V1.MeshRanges.Parser, p => TypeUrls.NameOf(p)!, RangesBuilder.Build) { Strictly = true };

    private static readonly Reader<Mesh.Api.V1.NameTable, NameTable> NamesReader =
        new("NameTable", TypeUrls.NameTable, Mesh.Api.V1.NameTable.Parser, _ => TypeUrls.NamesName, NamesBuilder.Build);

    private static ResourceSet Unknown(ResourceSet set, string typeUrl, ConfigErrors errors)
    {
        errors.Add($"type_url \"{typeUrl}\" is not one this sidecar asked for");
        return set;
    }

    private static ResourceSet WithListeners(ResourceSet set, IReadOnlyList<Any> resources, ConfigErrors errors)
    {
        var listeners = Listeners.Read(resources, set.Listeners ?? ImmutableDictionary<string, Accepted<Listener>>.Empty, errors);
        foreach (var same in listeners.Values.GroupBy(l => l.Value.Address).Where(g => g.Skip(1).Any() && g.Key.Port > 0))
            errors.Add($"Listener {string.Join(" and ", same.Select(l => l.Name).Order(StringComparer.Ordinal))}: address: {same.Key} is used twice");
        var wanted = listeners.Values.SelectMany(l => RdsNames(l.Value)).ToImmutableSortedSet(StringComparer.Ordinal);
        return set with { Listeners = listeners, RoutesWanted = wanted, Routes = Only(set.Routes, wanted) };
    }

    private static IEnumerable<string> RdsNames(Listener listener)
    {
        foreach (var chain in listener.Chains)
        {
            if (chain.Http?.RdsName is { } name) yield return name;
        }

        if (listener.DefaultChain?.Http?.RdsName is { } last) yield return last;
    }

    private static ResourceSet WithClusters(ResourceSet set, IReadOnlyList<Any> resources, ConfigErrors errors)
    {
        var clusters = Clusters.Read(resources, set.Clusters ?? ImmutableDictionary<string, Accepted<ClusterSettings>>.Empty, errors);
        var wanted = clusters.Values.Select(c => c.Value.EdsName).OfType<string>().ToImmutableSortedSet(StringComparer.Ordinal);
        return set with { Clusters = clusters, EndpointsWanted = wanted, Endpoints = Only(set.Endpoints, wanted) };
    }

    private static ImmutableDictionary<string, Accepted<T>> Only<T>(ImmutableDictionary<string, Accepted<T>> all, ImmutableSortedSet<string> wanted) =>
        all.RemoveRange(all.Keys.Where(n => !wanted.Contains(n)).ToList());

    /// <summary>What came and is asked for; the rest is a late answer to a question taken back.</summary>
    private static ImmutableDictionary<string, Accepted<T>> Merge<T>(
        ImmutableDictionary<string, Accepted<T>> old, ImmutableDictionary<string, Accepted<T>> fresh, ImmutableSortedSet<string> wanted) =>
        old.SetItems(fresh.Where(f => wanted.Contains(f.Key)));

    /// <summary>Reads the resources of one type.</summary>
    private sealed class Reader<TProto, T>(string kind, string typeUrl, MessageParser<TProto> parser, Func<TProto, string> nameOf, Func<TProto, Field, T> build)
        where TProto : class, IMessage<TProto>
    {
        /// <summary>True refuses fields that are not known.</summary>
        public bool Strictly { get; init; }

        public ImmutableDictionary<string, Accepted<T>> Read(
            IReadOnlyList<Any> resources, ImmutableDictionary<string, Accepted<T>> previous, ConfigErrors errors)
        {
            var known = previous.Values.DistinctBy(a => a.Raw.Value).ToDictionary(a => a.Raw.Value);
            var read = ImmutableDictionary.CreateBuilder<string, Accepted<T>>(StringComparer.Ordinal);
            for (var i = 0; i < resources.Count; i++)
            {
                var accepted = known.GetValueOrDefault(resources[i].Value) ?? One(resources[i], i, errors);
                if (accepted is null || read.TryAdd(accepted.Name, accepted)) continue;
                errors.Add($"{kind} {accepted.Name}: is there twice in one answer");
            }

            return read.ToImmutable();
        }

        private Accepted<T>? One(Any any, int index, ConfigErrors errors)
        {
            var field = Field.Of(errors, $"{kind} #{index}");
            if (!any.Holds(typeUrl))
            {
                field.Error($"is a {any.TypeUrl}, not a {AnyTypes.Name(typeUrl)}");
                return null;
            }

            var proto = Strictly ? field.UnpackStrictly(any, parser) : field.Unpack(any, parser);
            if (proto is null) return null;
            var name = nameOf(proto);
            if (name.Length == 0) field.Error("has no name");
            return new Accepted<T>(name, any, build(proto, Field.Of(errors, $"{kind} {name}")));
        }
    }
}

file static class DictionaryExtensions
{
    public static bool TryAdd<T>(this ImmutableDictionary<string, T>.Builder builder, string key, T value)
    {
        if (builder.ContainsKey(key)) return false;
        builder.Add(key, value);
        return true;
    }
}
