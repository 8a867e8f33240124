using Envoy.Config.Core.V3;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Where resources come from, as every reference between resources has to say. Pure.</summary>
internal static class XdsSource
{
    /// <summary>The same ADS stream. gRPC libraries refuse anything else.</summary>
    public static ConfigSource Ads() => new() { Ads = new AggregatedConfigSource(), ResourceApiVersion = ApiVersion.V3 };
}
