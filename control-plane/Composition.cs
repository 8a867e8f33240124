using System.Reflection;
using Mesh.ControlPlane.Sources;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.ControlPlane.Sources.Files;
using Mesh.ControlPlane.Sources.Registry;
using Mesh.ControlPlane.Sources.Workloads;
using Microsoft.Extensions.Logging;

namespace Mesh.ControlPlane;

/// <summary>How <see cref="Options"/> become the settings of the parts. Stateless.</summary>
internal static class Composition
{
    /// <summary>Version of the program, with the commit it was built from.</summary>
    public static string Version { get; } =
        typeof(Composition).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    /// <summary>Starts the built-in registry; a <see cref="StartException"/> says why it cannot.</summary>
    public static async Task<BuiltInRegistry> StartRegistryAsync(Options options, TimeProvider time, ILoggerFactory logs)
    {
        var settings = new RegistryOptions
        {
            Address = options.Registry.Ip ?? throw new StartException("--registry: the built-in registry is served on an IP address, not on a unix socket"),
            DataFolder = options.Data,
            Datacenter = options.ConsulDatacenter ?? new RegistryOptions().Datacenter,
        };
        try
        {
            return await BuiltInRegistry.StartAsync(settings, time, new Random(), logs);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartException(e.Message, e);
        }
    }

    /// <summary>The settings of discovery, with Consul's address or the built-in registry's.</summary>
    public static DiscoveryOptions DiscoveryOf(Options options, Uri? registry)
    {
        var consul = new ConsulOptions
        {
            Address = options.Consul ?? registry ?? throw new ArgumentNullException(nameof(registry)),
            Token = options.ConsulToken,
            TokenFile = options.ConsulTokenFile,
            Datacenter = options.ConsulDatacenter,
            CaFile = options.ConsulCaFile,
        };
        return new DiscoveryOptions(consul, options.ReplicaId) { Workloads = new WorkloadOptions { Grace = options.Grace } };
    }

    /// <summary>How the sources stand, for <c>/debug/world</c>.</summary>
    public static object SourcesReport(Options options, Discovery discovery, FileSource? rules) => new
    {
        Registry = new
        {
            Address = options.Consul?.ToString() ?? "built in",
            Synced = discovery.Source.Synced.IsCompletedSuccessfully,
            StalenessSeconds = Math.Round(discovery.Source.Staleness.TotalSeconds, 1),
        },
        Rules = rules?.Status,
    };
}
