using System.Collections.Immutable;
using System.Net;
using Envoy.Config.Core.V3;
using Envoy.Extensions.Filters.Network.TcpProxy.V3;
using Google.Protobuf.WellKnownTypes;
using Hcm = Envoy.Extensions.Filters.Network.HttpConnectionManager.V3.HttpConnectionManager;
using Proto = Envoy.Config.Listener.V3.Listener;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>Listener: xDS to a listener whose routes and clusters are names. Pure.</summary>
internal static class ListenerBuilder
{
    private const int NoSlot = -1;
    private static readonly TimeSpan DefaultDetectTimeout = TimeSpan.FromSeconds(15);

    /// <summary>Builds a listener.</summary>
    public static Listener Build(Proto proto, Field field)
    {
        if (proto.Name.Length == 0) field.Error("name", "is empty");
        Unsupported(proto, field);
        var address = EndpointsBuilder.Address(proto.Address, field.At("address"));
        if (address is { Address: null }) field.Error("address.socket_address.address", $"\"{address.Host}\" is not an IP address");
        if (proto.FilterChains.Count == 0 && proto.DefaultFilterChain is null) field.Error("filter_chains", "is empty: the listener would serve nobody");
        var inspectors = Inspectors(proto, field);
        var chains = Chains(proto, field);
        return new Listener
        {
            Name = proto.Name,
            Slot = NoSlot,
            Address = address?.Address ?? new IPEndPoint(0, 0),
            Direction = proto.TrafficDirection == TrafficDirection.Inbound ? Direction.Inbound : Direction.Outbound,
            Chains = chains,
            Destinations = chains.Any(c => c.DestinationPort > 0 || !c.Destinations.IsEmpty) ? DestinationIndex.Of(chains) : null,
            IsCaptured = inspectors.OriginalDst,
            IsTransparent = proto.Transparent == true,
            DefaultChain = proto.DefaultFilterChain is { } chain ? Chain(chain, field.At("default_filter_chain")) : null,
            InspectsHttp = inspectors.Http,
            InspectsTls = inspectors.Tls,
            DetectTimeout = proto.ContinueOnListenerFiltersTimeout ? field.Duration(proto.ListenerFiltersTimeout, "listener_filters_timeout", DefaultDetectTimeout) : TimeSpan.Zero,
            Source = SourceText.Of(proto.Metadata),
            PolicySources = SourceText.Policies(proto.Metadata),
            NamesDenyingPolicy = SourceText.NamesDenyingPolicy(proto.Metadata),
        };
    }

    private static void Unsupported(Proto proto, Field field)
    {
        field.Unsupported(proto.UseOriginalDst == true, "use_original_dst");
        field.Unsupported(proto.BindToPort == false, "bind_to_port (false)");
        field.Unsupported(proto.ApiListener is not null, "api_listener");
        field.Unsupported(proto.AdditionalAddresses.Count > 0, "additional_addresses");
    }

    private static (bool Http, bool Tls, bool OriginalDst) Inspectors(Proto proto, Field field)
    {
        var (http, tls, original) = (false, false, false);
        for (var i = 0; i < proto.ListenerFilters.Count; i++)
        {
            var (filter, at) = (proto.ListenerFilters[i], field.At("listener_filters", i));
            at.Unsupported(filter.FilterDisabled is not null, "filter_disabled");
            if (filter.TypedConfig.Holds(AnyTypes.HttpInspector)) http = true;
            else if (filter.TypedConfig.Holds(AnyTypes.TlsInspector)) tls = true;
            else if (filter.TypedConfig.Holds(AnyTypes.OriginalDst)) original = true;
            else at.Error($"\"{filter.Name}\" ({filter.TypedConfig?.TypeUrl ?? "no typed_config"}) is not supported by this sidecar yet");
        }

        // A chain that is only for TLS, or only for plaintext beside it, means nothing unless somebody looks.
        return (http, tls || proto.FilterChains.Any(c => c.FilterChainMatch?.TransportProtocol == "tls"), original);
    }

    private static ImmutableArray<FilterChain> Chains(Proto proto, Field field)
    {
        var chains = proto.FilterChains.Select((c, i) => Chain(c, field.At("filter_chains", i))).ToImmutableArray();
        var seen = new HashSet<(AddressPrefix Destination, string Transport, string Protocol)>();
        for (var i = 0; i < chains.Length; i++)
        {
            if (!Keys(chains[i]).All(seen.Add)) field.At("filter_chains", i).Error("filter_chain_match", "matches the same as a chain before it: which one serves would be chance");
        }

        return chains;
    }

    private static IEnumerable<(AddressPrefix Destination, string Transport, string Protocol)> Keys(FilterChain chain) =>
        from destination in DestinationIndex.Keys(chain)
        from protocol in chain.ApplicationProtocols.IsEmpty ? [""] : chain.ApplicationProtocols
        select (destination, chain.TransportProtocol, protocol);

    private static FilterChain Chain(Envoy.Config.Listener.V3.FilterChain proto, Field field)
    {
        var chain = new FilterChain
        {
            Name = proto.Name,
            DestinationPort = Match(proto.FilterChainMatch, field.At("filter_chain_match")),
            Destinations = Destinations(proto.FilterChainMatch, field.At("filter_chain_match")),
            TransportProtocol = proto.FilterChainMatch?.TransportProtocol ?? "",
            Tls = TlsContexts.Downstream(proto.TransportSocket, field.At("transport_socket")),
            ApplicationProtocols = [.. proto.FilterChainMatch?.ApplicationProtocols ?? []],
        };
        if (chain is { Tls: not null, TransportProtocol: "raw_buffer" }) field.Error("transport_socket", "is TLS on a chain for plaintext (raw_buffer)");
        if (proto.Filters.Count == 0) field.Error("filters", "is empty: one HttpConnectionManager or TcpProxy is needed");
        var rbac = new List<AuthorizationFilter>();
        for (var i = 0; i < proto.Filters.Count; i++) chain = WithFilter(chain, proto.Filters[i], rbac, field.At("filters", i));
        if (proto.Filters.Count > 0 && rbac.Count == proto.Filters.Count) field.Error("filters", "ends without an HttpConnectionManager or a TcpProxy");
        return rbac.Count == 0 ? chain : chain with
        {
            Http = chain.Http is not { } http ? null : http with { Authorization = Authorization.Of([.. rbac, .. http.Authorization?.Filters ?? []]) },
            Tcp = chain.Tcp is not { } tcp ? null : tcp with { Authorization = Authorization.Of(rbac) },
        };
    }

    private static FilterChain WithFilter(FilterChain chain, Envoy.Config.Listener.V3.Filter filter, List<AuthorizationFilter> rbac, Field field)
    {
        if (chain.Http is not null || chain.Tcp is not null) field.Error($"\"{filter.Name}\" comes after the filter that ends the chain");
        else if (filter.TypedConfig.Holds(AnyTypes.NetworkRbac))
        {
            if (AuthorizationBuilder.Network(filter.Name, filter.TypedConfig!, field) is { } read) rbac.Add(read);
        }
        else if (filter.TypedConfig.Holds(AnyTypes.HttpConnectionManager) && Typed(filter.TypedConfig, Hcm.Parser, field) is { } http)
            return chain with { Http = HttpConnectionManagerBuilder.Build(http, field) };
        else if (filter.TypedConfig.Holds(AnyTypes.TcpProxy) && Typed(filter.TypedConfig, TcpProxy.Parser, field) is { } tcp)
            return chain with { Tcp = Tcp(tcp, field) };
        else if (!filter.TypedConfig.Holds(AnyTypes.HttpConnectionManager) && !filter.TypedConfig.Holds(AnyTypes.TcpProxy))
            field.Error($"\"{filter.Name}\" ({filter.TypedConfig?.TypeUrl ?? "no typed_config"}) is not supported by this sidecar yet");
        return chain;
    }

    private static T? Typed<T>(Any any, Google.Protobuf.MessageParser<T> parser, Field field)
        where T : class, Google.Protobuf.IMessage<T> => field.Unpack(any, parser);

    /// <summary>The port a chain is for, 0 for any; what we cannot match is refused.</summary>
    private static int Match(Envoy.Config.Listener.V3.FilterChainMatch? match, Field field)
    {
        if (match is null) return 0;
        field.Unsupported(match.SourcePrefixRanges.Count > 0, "source_prefix_ranges");
        field.Unsupported(match.DirectSourcePrefixRanges.Count > 0, "direct_source_prefix_ranges");
        field.Unsupported(match.SourcePorts.Count > 0, "source_ports");
        field.Unsupported(match.ServerNames.Count > 0, "server_names");
        field.Unsupported(match.AddressSuffix.Length > 0 || match.SuffixLen is not null, "address_suffix");
        field.Unsupported(match.SourceType != Envoy.Config.Listener.V3.FilterChainMatch.Types.ConnectionSourceType.Any, "source_type");
        field.Unsupported(match.TransportProtocol is not ("" or "raw_buffer" or "tls"), $"transport_protocol \"{match.TransportProtocol}\"");
        if (match.DestinationPort is not { } port) return 0;
        if (port is 0 or > 65535) field.Error("destination_port", $"{port} is not a port (1 to 65535)");
        return (int)Math.Min(port, 65535);
    }

    private static ImmutableArray<AddressPrefix> Destinations(Envoy.Config.Listener.V3.FilterChainMatch? match, Field field)
    {
        if (match is null || match.PrefixRanges.Count == 0) return [];
        var ranges = ImmutableArray.CreateBuilder<AddressPrefix>(match.PrefixRanges.Count);
        for (var i = 0; i < match.PrefixRanges.Count; i++)
        {
            var (range, at) = (match.PrefixRanges[i], field.At("prefix_ranges", i));
            if (!IPAddress.TryParse(range.AddressPrefix, out var address)) at.Error("address_prefix", $"\"{range.AddressPrefix}\" is not an IP address");
            // As in Envoy an absent length is 0: the whole family.
            else if (AddressPrefix.Of(address, range.PrefixLen ?? 0) is { } prefix) ranges.Add(prefix);
            else at.Error("prefix_len", $"{range.PrefixLen} is longer than the address {address}");
        }

        return ranges.DrainToImmutable();
    }

    private static TcpProxyConfig Tcp(TcpProxy proto, Field field)
    {
        var clusters = ImmutableArray<WeightedCluster>.Empty;
        switch (proto.ClusterSpecifierCase)
        {
            case TcpProxy.ClusterSpecifierOneofCase.Cluster when proto.Cluster.Length > 0:
                clusters = [new WeightedCluster(proto.Cluster, null, 1)];
                break;
            case TcpProxy.ClusterSpecifierOneofCase.WeightedClusters:
                clusters = RouteBuilder.Shares(proto.WeightedClusters.Clusters.Select(c => (c.Name, (uint?)c.Weight)), field.At("weighted_clusters"));
                break;
            default:
                field.Error("one of cluster, weighted_clusters is needed");
                break;
        }

        return new TcpProxyConfig
        {
            Clusters = clusters,
            TotalWeight = (uint)clusters.Sum(c => c.Weight),
            IdleTimeout = field.Duration(proto.IdleTimeout, "idle_timeout", TimeSpan.FromHours(1)),
        };
    }
}
