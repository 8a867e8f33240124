using System.Net;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;
using Mesh.Sidecar.Dns;
using Mesh.Sidecar.Resilience;
using NameTable = Mesh.Api.V1.NameTable;

namespace Mesh.Sidecar.Tests.Dns;

/// <summary>Tables and what answers from them.</summary>
internal static class Given
{
    public const string Instances = "outbound|9000||pods.shop.svc.cluster.local";

    /// <summary>Somebody who asks.</summary>
    public static Destination Client { get; } = Destination.Of(IPAddress.Loopback, 40000);

    /// <summary>A shop: services with one, two, no addresses, of instances; externals.</summary>
    public static NameTable Shop { get; } = new()
    {
        ClusterDomain = "cluster.local",
        Services =
        {
            Service("cart", "", true, "240.0.0.1", "::1"),
            Service("web", "", false, "10.96.0.2"),
            Service("web", "shop", true, "10.96.0.3", "fd00:dead::3"),
            Service("empty", "shop", true),
            new NameTable.Types.Service { Name = "pods", Namespace = "shop", InstancesOf = Instances, Bare = true },
        },
        Externals = { External("api.example.com", "240.0.0.9"), External("*.wild.example", "240.0.0.10") },
    };

    public static NameTable.Types.Service Service(string name, string ns, bool bare, params string[] addresses) =>
        new() { Name = name, Namespace = ns, Bare = bare, Addresses = { addresses.Select(a => ByteString.CopyFrom(IPAddress.Parse(a).GetAddressBytes())) } };

    public static NameTable.Types.External External(string host, params string[] addresses) =>
        new() { Host = host, Addresses = { addresses.Select(a => ByteString.CopyFrom(IPAddress.Parse(a).GetAddressBytes())) } };

    /// <summary>The table as a sidecar reads it.</summary>
    public static Mesh.Sidecar.Config.NameTable Read(NameTable proto)
    {
        var errors = new ConfigErrors();
        var set = ResourceSetBuilder.With(ResourceSet.Empty, TypeUrls.NameTable, "1", [Any.Pack(proto)], errors);
        Assert.True(errors.Count == 0, errors.ToString());
        return set.Names.Values.Single().Value;
    }

    /// <summary>Snapshots with the table, and so many instances behind "pods".</summary>
    public static Snapshots With(NameTable? proto, params string[] instances)
    {
        var snapshots = new Snapshots();
        var cluster = new Cluster
        {
            Name = Instances,
            Kind = ClusterKind.Endpoints,
            Policy = LbPolicy.RoundRobin,
            Service = ServiceLabels.None,
            State = new ClusterState(),
            Endpoints = [.. instances.Select((address, i) => new Endpoint { Host = address, Port = 9000, Authority = $"{address}:9000", Address = new IPEndPoint(IPAddress.Parse(address), 9000), Hostname = $"pods-{i}", Peer = PeerLabels.Unknown, Stats = new EndpointStats() })],
        };
        snapshots.Publish(new Snapshot { Number = 1, Names = proto is null ? null : Read(proto), Clusters = [cluster] });
        return snapshots;
    }

    /// <summary>What answers at once.</summary>
    public static Responder Responder(Snapshots snapshots, DnsCounters? counters = null, ulong seed = 1) =>
        new(new MeshAnswers(snapshots, new Ipv6Routes(TimeProvider.System), new Randomness(seed)), new OwnQueries(), counters ?? new DnsCounters());

    /// <summary>The answer to a message; null when there is none, or it is to be forwarded.</summary>
    public static byte[]? Ask(Responder responder, byte[] message, bool tcp = false)
    {
        var answer = new byte[tcp ? 65534 : 4096];
        var length = responder.Answer(message, answer, tcp, Client, out _);
        return length > 0 ? answer[..length] : null;
    }
}
