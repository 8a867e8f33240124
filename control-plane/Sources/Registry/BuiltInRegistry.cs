using System.Net;
using System.Net.Sockets;
using Mesh.ControlPlane.Sources.Registry.Checks;
using Mesh.ControlPlane.Sources.Registry.Http;
using Mesh.ControlPlane.Sources.Registry.Persistence;
using Mesh.ControlPlane.Sources.Registry.Store;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;

namespace Mesh.ControlPlane.Sources.Registry;

/// <summary>
/// The control plane's own registry: a part of Consul's HTTP API on loopback, so that the mesh runs where no Consul does.
/// Started once by the composition root; <see cref="DisposeAsync"/> ends its server, checks and timers and writes its state a last time.
/// </summary>
internal sealed class BuiltInRegistry : IAsyncDisposable
{
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(5);
    private readonly KestrelServer server;
    private readonly RegistryContext context;
    private readonly RegistrySaver? saver;

    private BuiltInRegistry(KestrelServer server, RegistryContext context, RegistrySaver? saver)
    {
        this.server = server;
        this.context = context;
        this.saver = saver;
    }

    /// <summary>Where it listens, with the port it got.</summary>
    public IPEndPoint Address { get; private set; } = new(IPAddress.Loopback, 0);

    public Uri Url => new($"http://{Address}");

    /// <summary>
    /// Starts the registry. Throws <see cref="ArgumentException"/> for an address that is not loopback, <see cref="RegistryDataException"/> for
    /// unreadable data and <see cref="IOException"/> for a taken port, each with what to do about it.
    /// </summary>
    public static async Task<BuiltInRegistry> StartAsync(RegistryOptions options, TimeProvider time, Random random, ILoggerFactory logs)
    {
        if (!IPAddress.IsLoopback(options.Address.Address))
            throw new ArgumentException($"the built-in registry has no access control and listens on loopback only, not on {options.Address}; use 127.0.0.1 or a Consul (--consul)", nameof(options));
        var log = logs.CreateLogger("registry");
        var file = options.DataFolder is null ? null : new RegistryFile(options.DataFolder);
        var watches = new WatchHub(options.MaxWaiters);
        var store = new RegistryStore(FirstState(options, file, time), watches, time);
        var behind = file is null ? null : new RegistrySaver(store, file, time, log);
        var parts = new RegistryContext(
            options.Datacenter, store, new BlockingQuery(store, watches, time, random), new CheckRunner(store, time, random, log), new SessionExpiry(store, time))
        {
            SavedAsync = behind is null ? () => Task.CompletedTask : behind.SavedAsync,
        };
        var registry = new BuiltInRegistry(CreateServer(options.Address, logs), parts, behind);
        try
        {
            await registry.RunAsync(options, log);
            return registry;
        }
        catch
        {
            await registry.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        context.Queries.Stop();
        using (var patience = new CancellationTokenSource(StopTimeout)) await server.StopAsync(patience.Token);
        server.Dispose();
        await context.Checks.DisposeAsync();
        context.Sessions.Dispose();
        if (saver is not null) await saver.DisposeAsync();
        context.Queries.Dispose();
    }

    private async Task RunAsync(RegistryOptions options, ILogger log)
    {
        saver?.Start();
        context.Checks.Start();
        context.Sessions.Start();
        try
        {
            await server.StartAsync(new RegistryApplication(Endpoints(), options.Datacenter, log), CancellationToken.None);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            throw new IOException($"the built-in registry cannot listen on {options.Address}: {e.Message}. Is a Consul running there? Use --consul, or another --registry address.", e);
        }

        var bound = new Uri(server.Features.Get<IServerAddressesFeature>()!.Addresses.First());
        Address = new IPEndPoint(options.Address.Address, bound.Port);
        log.LogInformation("registry ready address={Address} data={Data}", Address, options.DataFolder ?? "memory");
    }

    /// <summary>
    /// Without a data folder the first index is taken from the clock, so that one who watched a former life of this registry sees the index grow
    /// and not fall: a hundred a millisecond, more than anybody writes.
    /// </summary>
    private static RegistryState FirstState(RegistryOptions options, RegistryFile? file, TimeProvider time)
    {
        var found = file?.Load() ?? new RegistryState { Index = file is null ? (ulong)time.GetUtcNow().ToUnixTimeMilliseconds() * 100 : 1 };
        return AgentNode.Ensure(found, options.NodeName, options.Address.Address.ToString());
    }

    private EndpointTable Endpoints() => new([
        .. new CatalogEndpoints(context).All,
        .. new HealthEndpoints(context).All,
        .. new AgentEndpoints(context, () => Address.ToString()).All,
        .. new AgentServiceEndpoints(context).All,
        .. new AgentCheckEndpoints(context).All,
        .. new KvEndpoints(context).All,
        .. new SessionEndpoints(context).All,
        .. new TxnEndpoint(context).All,
        .. UnservedEndpoints.All,
    ]);

    private static KestrelServer CreateServer(IPEndPoint address, ILoggerFactory logs)
    {
        var options = new KestrelServerOptions { AddServerHeader = false };
        options.Limits.MaxRequestBodySize = RegistryRequest.MaxBody;
        options.Listen(address, listen => listen.Protocols = HttpProtocols.Http1);
        var transport = new SocketTransportFactory(OptionsOf(new SocketTransportOptions()), logs);
        return new KestrelServer(OptionsOf(options), transport, logs);
    }

    private static Microsoft.Extensions.Options.IOptions<T> OptionsOf<T>(T value)
        where T : class => Microsoft.Extensions.Options.Options.Create(value);
}
