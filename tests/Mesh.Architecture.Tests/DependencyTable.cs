namespace Mesh.Architecture.Tests;

/// <summary>
/// Who may know whom. One row a room: the rooms of the same program it may name. <c>Mesh.Api</c> is open to all;
/// a program never names another program. Program files at a program's root compose everything and are not listed.
/// </summary>
internal static class DependencyTable
{
    public static readonly IReadOnlyDictionary<string, string[]> Sidecar = new Dictionary<string, string[]>(StringComparer.Ordinal)
    {
        ["Capture"] = [],
        ["Resilience"] = [],
        ["Identity"] = ["Resilience"],
        ["Balancing"] = ["Identity", "Resilience"],
        ["Config"] = ["Identity", "Balancing", "Resilience"],
        ["Telemetry"] = ["Identity", "Config", "Balancing", "Resilience"],
        ["Xds"] = ["Config", "Balancing", "Resilience"],
        ["State"] = ["Xds", "Config", "Balancing", "Resilience"],
        ["Registration"] = ["Config", "Balancing", "Resilience"],
        ["Dns"] = ["Config", "Balancing", "Resilience"],
        ["Listening"] = ["Telemetry", "Identity", "Config", "Balancing", "Resilience"],
        ["Tcp"] = ["Listening", "Telemetry", "Identity", "Config", "Balancing", "Resilience"],
        ["Http"] = ["Tcp", "Listening", "Telemetry", "Identity", "Config", "Balancing", "Resilience"],
        ["Admin"] = ["Dns", "Telemetry", "Config", "Balancing", "Resilience"],
    };

    public static readonly IReadOnlyDictionary<string, string[]> ControlPlane = new Dictionary<string, string[]>(StringComparer.Ordinal)
    {
        ["Model"] = [],
        ["Rules"] = ["Model"],
        ["Compilation"] = ["Rules", "Model"],
        ["Identity"] = ["Model"],
        ["Dns"] = ["Identity", "Model"],
        ["Destinations"] = ["Identity", "Model"],
        ["Sources"] = ["Identity", "Rules", "Model"],
        ["Xds"] = ["Identity", "Compilation", "Model"],
        ["Admin"] = ["Xds", "Sources", "Dns", "Destinations", "Identity", "Compilation", "Rules", "Model"],
    };
}
