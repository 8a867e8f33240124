using System.Reflection;
using Mesh.Api.Identity;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Dns;
using Mesh.ControlPlane.Identity;
using Mesh.ControlPlane.Identity.Stores;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.ControlPlane.Sources.Files;
using Mesh.ControlPlane.Sources.Registry;
using Mesh.ControlPlane.Sources.Workloads;
using Mesh.ControlPlane.Xds;
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

    /// <summary>Discovery with Consul, or with the built-in registry at its address; a <see cref="StartException"/> says which file cannot be read.</summary>
    public static Discovery StartDiscovery(Options options, Uri? registry, (WorldStore Store, MeshIdentity Identity) mesh, Task rulesRead, SourceClock clock, Log log)
    {
        var consul = ConsulOf(options, registry);
        try
        {
            if (options.ConsulTokenFile is { } file) RegularFiles.Read(file, SecureFiles.MaxLength);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartException($"--consul-token-file: {e.Message}", e);
        }

        try
        {
            var settings = new DiscoveryOptions(consul, options.ReplicaId) { Workloads = new WorkloadOptions { Grace = options.Grace }, RulesRead = rulesRead, AddressKey = mesh.Identity.Tokens.AddressKey };
            return new Discovery(settings, mesh.Store, clock, log);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartException($"--consul-ca-file: {e.Message}", e);
        }
    }

    /// <summary>Identity with its store: the data folder, or Consul's keys. A <see cref="StartException"/> says what stands in the way.</summary>
    public static async Task<MeshIdentity> StartIdentityAsync(Options options, WorldStore store, TimeProvider time, Log log)
    {
        try
        {
            IAuthorityStore kept = options.Identity.SealKeyFile is { } key
                ? new ConsulKvStore(new ConsulClient(ConsulOf(options, null), time), $"mesh/identity/{options.Identity.TrustDomain}/", Seal.FromFile(key))
                : new FolderStore(Path.Combine(options.Data, MeshIdentity.Folder), time);
            return await MeshIdentity.StartAsync(options.Identity, options.Data, kept, store, (time, log), CancellationToken.None);
        }
        catch (Exception e) when (e is StoreException or IOException or UnauthorizedAccessException)
        {
            throw new StartException($"identity cannot start: {e.Message}", e);
        }
    }

    /// <summary>Gives out virtual addresses, by a book in the data folder, or in Consul where control planes share that; null when none are to be given out.</summary>
    public static AddressKeeper? MakeAddresses(Options options, WorldStore store, Func<bool> isComplete, ConnectedNodes nodes, (TimeProvider Time, Log Log) clock)
    {
        if (options.Network.VirtualRanges.IsEmpty) return null;
        var terms = new KeeperTerms(options.Network.VirtualRanges) { IsComplete = isComplete, EverybodyKnows = nodes.HaveNewestAddresses };
        try
        {
            IAuthorityStore book = options.Consul is not null
                ? new ConsulKvStore(new ConsulClient(ConsulOf(options, null), clock.Time), "mesh/addresses/", seal: null)
                : new FolderStore(Path.Combine(options.Data, "addresses"), clock.Time);
            return new AddressKeeper(book, store, terms, (clock.Time, new Random()), clock.Log);
        }
        catch (Exception e) when (e is StoreException or IOException or UnauthorizedAccessException)
        {
            throw new StartException($"virtual addresses cannot be kept: {e.Message}", e);
        }
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

    private static ConsulOptions ConsulOf(Options options, Uri? registry) => new()
    {
        Address = options.Consul ?? registry ?? throw new ArgumentNullException(nameof(registry)),
        Token = options.ConsulToken,
        TokenFile = options.ConsulTokenFile,
        Datacenter = options.ConsulDatacenter,
        CaFile = options.ConsulCaFile,
    };
}
