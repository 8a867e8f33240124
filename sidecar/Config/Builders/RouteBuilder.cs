using System.Collections.Immutable;
using Envoy.Config.Route.V3;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>Route and its action: xDS to a route whose clusters are names; <see cref="Linker"/> resolves them. Pure.</summary>
internal static class RouteBuilder
{
    /// <summary>Builds a route; <paramref name="inherited"/> is the retry policy of its virtual host.</summary>
    public static Route Build(Envoy.Config.Route.V3.Route proto, RetryPolicy inherited, Field field)
    {
        HeaderChanges(proto.RequestHeadersToAdd.Count, proto.RequestHeadersToRemove.Count, proto.ResponseHeadersToAdd.Count, proto.ResponseHeadersToRemove.Count, field);
        field.Unsupported(proto.TypedPerFilterConfig.Count > 0, "typed_per_filter_config");
        var route = new Route
        {
            Name = proto.Name,
            Source = SourceText.Of(proto.Metadata),
            Match = MatcherBuilder.Match(proto.Match, field.At("match")),
            Retry = inherited,
        };
        switch (proto.ActionCase)
        {
            case Envoy.Config.Route.V3.Route.ActionOneofCase.Route_:
                return Forward(route, proto.Route_, field.At("route"));
            case Envoy.Config.Route.V3.Route.ActionOneofCase.DirectResponse:
                return Direct(route, proto.DirectResponse, field.At("direct_response"));
            case Envoy.Config.Route.V3.Route.ActionOneofCase.Redirect:
                field.Unsupported(true, "redirect");
                break;
            case Envoy.Config.Route.V3.Route.ActionOneofCase.NonForwardingAction:
                field.Unsupported(true, "non_forwarding_action");
                break;
            default:
                field.Error("one of route, direct_response is needed");
                break;
        }

        return route;
    }

    /// <summary>Refuses changes of headers, at any level, until filters exist.</summary>
    public static void HeaderChanges(int requestAdd, int requestRemove, int responseAdd, int responseRemove, Field field)
    {
        field.Unsupported(requestAdd > 0, "request_headers_to_add");
        field.Unsupported(requestRemove > 0, "request_headers_to_remove");
        field.Unsupported(responseAdd > 0, "response_headers_to_add");
        field.Unsupported(responseRemove > 0, "response_headers_to_remove");
    }

    private static Route Forward(Route route, RouteAction proto, Field field)
    {
        field.Unsupported(proto.PrefixRewrite.Length > 0, "prefix_rewrite");
        field.Unsupported(proto.RegexRewrite is not null, "regex_rewrite");
        field.Unsupported(proto.HostRewriteSpecifierCase != RouteAction.HostRewriteSpecifierOneofCase.None && proto.AutoHostRewrite != false, "host_rewrite_specifier");
        field.Unsupported(proto.RequestMirrorPolicies.Count > 0, "request_mirror_policies");
        field.Unsupported(proto.AppendXForwardedHost, "append_x_forwarded_host");
        field.Unsupported(field.Duration(proto.MaxStreamDuration?.MaxStreamDuration_, "max_stream_duration", TimeSpan.Zero) > TimeSpan.Zero, "max_stream_duration");
        field.Unsupported(field.Duration(proto.IdleTimeout, "idle_timeout", TimeSpan.Zero) > TimeSpan.Zero, "idle_timeout");
        var clusters = Clusters(proto, field);
        return route with
        {
            Clusters = clusters,
            TotalWeight = (uint)clusters.Sum(c => c.Weight),
            ClusterNotFoundStatus = NotFoundStatus(proto.ClusterNotFoundResponseCode, field),

            // Envoy's default is 15 s. Here an absent timeout is none: the application decides, unless somebody wrote one.
            Timeout = field.Duration(proto.Timeout, "timeout", TimeSpan.Zero),
            Retry = proto.RetryPolicy is null ? route.Retry : RetryPolicyBuilder.Build(proto.RetryPolicy, field.At("retry_policy")),
        };
    }

    private static int NotFoundStatus(RouteAction.Types.ClusterNotFoundResponseCode code, Field field)
    {
        switch (code)
        {
            case RouteAction.Types.ClusterNotFoundResponseCode.ServiceUnavailable: return 503;
            case RouteAction.Types.ClusterNotFoundResponseCode.NotFound: return 404;
            case RouteAction.Types.ClusterNotFoundResponseCode.InternalServerError: return 500;
            default:
                field.Error("cluster_not_found_response_code", $"{(int)code} is not known");
                return 503;
        }
    }

    private static ImmutableArray<WeightedCluster> Clusters(RouteAction proto, Field field)
    {
        switch (proto.ClusterSpecifierCase)
        {
            case RouteAction.ClusterSpecifierOneofCase.Cluster:
                if (proto.Cluster.Length == 0) field.Error("cluster", "is empty");
                return [new WeightedCluster(proto.Cluster, null, 1)];
            case RouteAction.ClusterSpecifierOneofCase.WeightedClusters:
                return Weighted(proto.WeightedClusters, field.At("weighted_clusters"));
            case RouteAction.ClusterSpecifierOneofCase.ClusterHeader:
                field.Unsupported(true, "cluster_header");
                break;
            default:
                field.Error("one of cluster, weighted_clusters is needed");
                break;
        }

        return [];
    }

    private static ImmutableArray<WeightedCluster> Weighted(Envoy.Config.Route.V3.WeightedCluster proto, Field field)
    {
        field.Unsupported(proto.HeaderName.Length > 0, "header_name");
        for (var i = 0; i < proto.Clusters.Count; i++)
        {
            var (one, at) = (proto.Clusters[i], field.At("clusters", i));
            HeaderChanges(one.RequestHeadersToAdd.Count, one.RequestHeadersToRemove.Count, one.ResponseHeadersToAdd.Count, one.ResponseHeadersToRemove.Count, at);
            at.Unsupported(one.ClusterHeader.Length > 0, "cluster_header");
            at.Unsupported(one.HostRewriteLiteral.Length > 0, "host_rewrite_literal");
            at.Unsupported(one.TypedPerFilterConfig.Count > 0, "typed_per_filter_config");
        }

        return Shares(proto.Clusters.Select(c => (c.Name, c.Weight)), field);
    }

    /// <summary>Clusters with a share; those of weight 0 get nothing and are left out.</summary>
    public static ImmutableArray<WeightedCluster> Shares(IEnumerable<(string Name, uint? Weight)> clusters, Field field)
    {
        var shares = ImmutableArray.CreateBuilder<WeightedCluster>();
        var (sum, i) = (0UL, 0);
        foreach (var (name, weight) in clusters)
        {
            if (name.Length == 0) field.At("clusters", i).Error("name", "is empty");
            if (weight is null) field.At("clusters", i).Error("weight", "is missing");
            if (weight > 0) shares.Add(new WeightedCluster(name, null, weight.Value));
            sum += weight ?? 0;
            i++;
        }

        if (sum == 0) field.Error("the sum of the weights is 0: nothing could be sent anywhere");
        if (sum > uint.MaxValue) field.Error($"the sum of the weights, {sum}, is more than {uint.MaxValue}");
        return shares.DrainToImmutable();
    }

    private static Route Direct(Route route, DirectResponseAction proto, Field field)
    {
        if (proto.Status is < 200 or > 599) field.Error("status", $"{proto.Status} is not a final HTTP status (200 to 599)");
        var body = "";
        if (proto.Body is not null)
        {
            var inline = proto.Body.SpecifierCase is Envoy.Config.Core.V3.DataSource.SpecifierOneofCase.InlineString or Envoy.Config.Core.V3.DataSource.SpecifierOneofCase.InlineBytes;
            if (!inline) field.Error("body", "must be inline_string or inline_bytes: files and environment variables are not read");
            body = proto.Body.SpecifierCase == Envoy.Config.Core.V3.DataSource.SpecifierOneofCase.InlineBytes ? proto.Body.InlineBytes.ToStringUtf8() : proto.Body.InlineString;
        }

        return route with { DirectStatus = (int)proto.Status, DirectBody = body };
    }
}
