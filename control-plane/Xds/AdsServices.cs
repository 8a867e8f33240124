using Mesh.Api.Logging;

namespace Mesh.ControlPlane.Xds;

/// <summary>What every ADS stream shares. Immutable; lives as long as the server.</summary>
internal sealed record AdsServices(ConfigFeed Feed, XdsMetrics Metrics, string Replica, TimeProvider Time, Log Log)
{
    /// <summary>Told of each request after it was taken; must not block.</summary>
    public Action<AdsStream, RequestKind, string> OnRequest { get; init; } = (_, _, _) => { };
}
