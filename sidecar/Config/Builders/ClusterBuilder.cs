using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;
using Mesh.Sidecar.Balancing;
using HttpProtocolOptions = Envoy.Extensions.Upstreams.Http.V3.HttpProtocolOptions;
using Proto = Envoy.Config.Cluster.V3.Cluster;
using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>Cluster: xDS to settings. Pure.</summary>
internal static class ClusterBuilder
{
    private static readonly TimeSpan DefaultConnectTimeout = TimeSpan.FromSeconds(5);

    /// <summary>Builds a cluster.</summary>
    public static ClusterSettings Build(Proto proto, Field field)
    {
        if (proto.Name.Length == 0) field.Error("name", "is empty");
        Unsupported(proto, field);
        var connect = field.Duration(proto.ConnectTimeout, "connect_timeout", DefaultConnectTimeout);
        if (connect <= TimeSpan.Zero) field.Error("connect_timeout", "must be more than 0");
        var settings = new ClusterSettings
        {
            Name = proto.Name,
            Kind = proto.Type == Proto.Types.DiscoveryType.OriginalDst ? ClusterKind.Passthrough : ClusterKind.Endpoints,
            Policy = Policy(proto, field),
            ConnectTimeout = connect,
            Protocol = Protocol(proto, field),
            Sockets = SocketMatches(proto, field),
            Service = SourceText.Service(proto.Metadata),
            Spoken = SourceText.Spoken(proto.Metadata),
            IsExternal = SourceText.IsExternal(proto.Metadata),
            Source = SourceText.Of(proto.Metadata),
        };
        return proto.Type switch
        {
            Proto.Types.DiscoveryType.Eds => settings with { EdsName = EdsName(proto, field.At("eds_cluster_config")) },
            Proto.Types.DiscoveryType.OriginalDst => settings,
            Proto.Types.DiscoveryType.Static or Proto.Types.DiscoveryType.StrictDns or Proto.Types.DiscoveryType.LogicalDns => WithEndpoints(settings, proto, field),
            _ => Unknown(settings, proto, field),
        };
    }

    private static ClusterSettings Unknown(ClusterSettings settings, Proto proto, Field field)
    {
        field.Error("type", $"{(int)proto.Type} is not known");
        return settings;
    }

    private static void Unsupported(Proto proto, Field field)
    {
        field.Unsupported(proto.ClusterDiscoveryTypeCase == Proto.ClusterDiscoveryTypeOneofCase.ClusterType, "cluster_type");
        field.Unsupported(proto.HealthChecks.Count > 0, "health_checks");
        field.Unsupported(proto.OutlierDetection is not null, "outlier_detection");
        field.Unsupported(proto.UpstreamBindConfig is not null, "upstream_bind_config");
        field.Unsupported(proto.OriginalDstLbConfig is not null, "original_dst_lb_config");
        field.Unsupported(proto.CommonLbConfig?.LocalityWeightedLbConfig is not null, "common_lb_config.locality_weighted_lb_config");
        for (var i = 0; i < (proto.CircuitBreakers?.Thresholds.Count ?? 0); i++)
        {
            // A bound nobody can reach is how control planes lift Envoy's default of 1024; there is none here to lift.
            var bound = proto.CircuitBreakers!.Thresholds[i];
            var lifted = Lifted(bound.MaxConnections) && Lifted(bound.MaxPendingRequests) && Lifted(bound.MaxRequests) && Lifted(bound.MaxRetries) && IsOurs(bound.RetryBudget);
            field.Unsupported(!lifted, $"circuit_breakers.thresholds[{i}]");
        }
    }

    private static bool Lifted(uint? bound) => bound is null or >= int.MaxValue;

    /// <summary>Every cluster has the budget of <see cref="RetryBudget"/>; a document that asks for just that asks for nothing more.</summary>
    private static bool IsOurs(Envoy.Config.Cluster.V3.CircuitBreakers.Types.Thresholds.Types.RetryBudget? budget) =>
        budget is null || (budget.BudgetPercent?.Value is null or RetryBudget.Percent && budget.MinRetryConcurrency is null or RetryBudget.AtLeast);

    private static LbPolicy Policy(Proto proto, Field field)
    {
        if (proto.LoadBalancingPolicy is not null) return Extension(proto.LoadBalancingPolicy, field.At("load_balancing_policy"));
        switch (proto.LbPolicy)
        {
            case Proto.Types.LbPolicy.RoundRobin:
            case Proto.Types.LbPolicy.ClusterProvided when proto.Type == Proto.Types.DiscoveryType.OriginalDst:
                return LbPolicy.RoundRobin;
            case Proto.Types.LbPolicy.LeastRequest:
                return LbPolicy.LeastRequest;
            case Proto.Types.LbPolicy.Random:
                return LbPolicy.Random;
            default:
                field.Unsupported(true, $"lb_policy {proto.LbPolicy}");
                return LbPolicy.RoundRobin;
        }
    }

    /// <summary>The first policy of the list that is known, as xDS says.</summary>
    private static LbPolicy Extension(Envoy.Config.Cluster.V3.LoadBalancingPolicy proto, Field field)
    {
        foreach (var policy in proto.Policies)
        {
            var config = policy.TypedExtensionConfig?.TypedConfig;
            if (config.Holds(AnyTypes.RoundRobin)) return LbPolicy.RoundRobin;
            if (config.Holds(AnyTypes.LeastRequest)) return LbPolicy.LeastRequest;
        }

        var names = proto.Policies.Select(p => p.TypedExtensionConfig?.TypedConfig?.TypeUrl ?? "(none)");
        field.Error("policies", $"none is known to this sidecar: {string.Join(", ", names)}");
        return LbPolicy.RoundRobin;
    }

    private static UpstreamProtocol Protocol(Proto proto, Field field)
    {
        var protocol = proto.Http2ProtocolOptions is null ? UpstreamProtocol.Http1 : UpstreamProtocol.Http2;
        foreach (var (key, any) in proto.TypedExtensionProtocolOptions)
        {
            var at = field.At($"typed_extension_protocol_options[{key}]");
            if (key == TypeUrls.HttpProtocolOptionsKey && any.Holds(AnyTypes.HttpProtocolOptions)) protocol = HttpOptions(any, at);
            else at.Error($"{any.TypeUrl} is not supported by this sidecar yet");
        }

        return protocol;
    }

    private static UpstreamProtocol HttpOptions(Any any, Field field)
    {
        var options = field.Unpack(any, HttpProtocolOptions.Parser);
        switch (options?.UpstreamProtocolOptionsCase)
        {
            case HttpProtocolOptions.UpstreamProtocolOptionsOneofCase.UseDownstreamProtocolConfig:
                return UpstreamProtocol.Downstream;
            case HttpProtocolOptions.UpstreamProtocolOptionsOneofCase.ExplicitHttpConfig:
                return options.ExplicitHttpConfig.Http2ProtocolOptions is null ? UpstreamProtocol.Http1 : UpstreamProtocol.Http2;
            case null:
                return UpstreamProtocol.Http1;
            default:
                field.Error("one of explicit_http_config, use_downstream_protocol_config is needed");
                return UpstreamProtocol.Http1;
        }
    }

    /// <summary>The sockets an endpoint's metadata chooses among, in order, and at the end the one for the rest.</summary>
    private static ImmutableArray<SocketMatch> SocketMatches(Proto proto, Field field)
    {
        var matches = ImmutableArray.CreateBuilder<SocketMatch>();
        for (var i = 0; i < proto.TransportSocketMatches.Count; i++)
        {
            var (match, at) = (proto.TransportSocketMatches[i], field.At("transport_socket_matches", i));
            if (match.TransportSocket is null) at.Error("transport_socket", "is missing");
            matches.Add(new SocketMatch(SourceText.Flat(match.Match, at.At("match")), TlsContexts.Upstream(match.TransportSocket, at.At("transport_socket"))));
        }

        var rest = TlsContexts.Upstream(proto.TransportSocket, field.At("transport_socket"));
        if (rest is not null || matches.Count > 0) matches.Add(new SocketMatch([], rest));
        return matches.DrainToImmutable();
    }

    private static string EdsName(Proto proto, Field field)
    {
        var source = proto.EdsClusterConfig?.EdsConfig;
        if (source is null) field.Error("eds_config", "is missing");
        else ConfigSources.Check(source, field.At("eds_config"));
        return proto.EdsClusterConfig?.ServiceName is { Length: > 0 } name ? name : proto.Name;
    }

    private static ClusterSettings WithEndpoints(ClusterSettings settings, Proto proto, Field field)
    {
        if (proto.LoadAssignment is null) return settings;
        var at = field.At("load_assignment");
        var endpoints = EndpointsBuilder.List(proto.LoadAssignment, at);
        foreach (var endpoint in endpoints)
        {
            if (proto.Type == Proto.Types.DiscoveryType.Static && endpoint.Address is null)
                at.Error($"\"{endpoint.Host}\" is not an IP address: a host name needs the type STRICT_DNS");
        }

        return settings with { Endpoints = endpoints };
    }
}

/// <summary>What is said of config sources wherever they stand. Pure.</summary>
internal static class ConfigSources
{
    /// <summary>Only the stream itself (ads, self) brings resources.</summary>
    public static void Check(ConfigSource source, Field field)
    {
        if (source.ConfigSourceSpecifierCase is not (ConfigSource.ConfigSourceSpecifierOneofCase.Ads or ConfigSource.ConfigSourceSpecifierOneofCase.Self))
            field.Error("must be ads or self: other sources are not supported by this sidecar");
    }
}
