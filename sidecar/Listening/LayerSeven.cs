using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Says whether anything is said about requests of a port: then a connection goes by what its client speaks alone. The control plane gives a
/// port with such a policy no chain that passes bytes; this holds whoever wrote the configuration. Pure.
/// </summary>
internal static class LayerSeven
{
    /// <summary>Whether a chain beside <paramref name="bytes"/> has a rule or a policy about requests.</summary>
    public static bool Rules(ChainGroup group, TcpProxyConfig bytes)
    {
        foreach (var chain in group.Chains)
        {
            if (chain.Http is { } http && Rules(http, bytes)) return true;
        }

        return group.Otherwise?.Http is { } otherwise && Rules(otherwise, bytes);
    }

    private static bool Rules(HttpConnectionManager http, TcpProxyConfig bytes) =>
        (http.Authorization is { } rules && (bytes.Authorization is null || rules.Filters.Any(f => f.Rules is { ReadsRequests: true } || f.Shadow is { ReadsRequests: true })))
        || !(http.Routes.Hosts is [{ Routes: [var only] }] && IsPlain(only, bytes));

    /// <summary>Everything to where the bytes go, too.</summary>
    private static bool IsPlain(Route route, TcpProxyConfig bytes) =>
        route is { Match: { Kind: PathMatchKind.Prefix or PathMatchKind.SegmentPrefix, Path: "" or "/", Headers.IsEmpty: true, Query.IsEmpty: true, GrpcOnly: false }, DirectStatus: 0 }
        && route.Timeout == TimeSpan.Zero && route.Retry.PerTryTimeout == TimeSpan.Zero && route.Retry.StatusCodes.IsEmpty
        && route.Clusters is [var to] && bytes.Clusters is [var there] && to.Name == there.Name;
}
