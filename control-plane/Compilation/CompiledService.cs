using System.Collections.Concurrent;
using System.Collections.Immutable;
using Envoy.Config.Route.V3;
using Google.Protobuf;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>
/// The resources of one service that are the same for many nodes. Clusters and endpoints are compiled at once, routes on first use
/// for each kind of client. Immutable to its callers; may be used from several threads.
/// </summary>
internal sealed class CompiledService
{
    private readonly ConcurrentDictionary<(string Client, bool Bare), ImmutableArray<VirtualHost>> virtualHosts;
    private readonly ConcurrentDictionary<(string Client, int Port), Resource> upstreamRoutes;
    private readonly ConcurrentDictionary<(string Client, bool Bare), GrpcService> grpc;

    private readonly ServiceSecurity security;

    private readonly ConcurrentDictionary<string, ServiceChains> chains = new(StringComparer.Ordinal);

    private IMessage? bareName;
    private IMessage? fullName;

    private CompiledService(Service service, ServiceSecurity security, ImmutableArray<string> addresses, ImmutableArray<CompiledPort> ports, CompiledService? sameShape)
    {
        Service = service;
        this.security = security;
        Addresses = addresses;
        Ports = ports;
        virtualHosts = sameShape?.virtualHosts ?? [];
        upstreamRoutes = sameShape?.upstreamRoutes ?? [];
        grpc = sameShape?.grpc ?? [];
        if (sameShape is null || !Sequence.Same(addresses, sameShape.Addresses)) return;
        (chains, bareName, fullName) = (sameShape.chains, sameShape.bareName, sameShape.fullName);
    }

    /// <summary>What it was compiled from.</summary>
    public Service Service { get; }

    /// <summary>The addresses that mean it.</summary>
    public ImmutableArray<string> Addresses { get; }

    /// <summary>True when clients of a namespace know it by other chains than the rest of the mesh: their own routes say what an undeclared port speaks.</summary>
    public bool HasOwnChains(string client) =>
        client != Service.Name.Namespace && Service.Ports.Any(port => port.Protocol == AppProtocol.Unknown) && Service.Routes.Any(route => route.Name.Namespace == client);

    /// <summary>The chains by which captured outbound listeners of clients of a namespace know it.</summary>
    public ServiceChains Chains(string client) =>
        chains.GetOrAdd(HasOwnChains(client) ? client : Service.Name.Namespace, static (key, self) => ServiceChains.Compile(self.Service, self.Addresses, key), this);

    /// <summary>What tables of names say of it.</summary>
    public IMessage NameEntry(bool bare) => bare
        ? LazyInitializer.EnsureInitialized(ref bareName, () => NameTables.Entry(Service, Addresses, true))
        : LazyInitializer.EnsureInitialized(ref fullName, () => NameTables.Entry(Service, Addresses, false));

    /// <summary>Its ports, in the service's order.</summary>
    public ImmutableArray<CompiledPort> Ports { get; }

    /// <summary>Compiles a service; what depends only on unchanged parts comes from <paramref name="previous"/>.</summary>
    public static CompiledService From(Service service, ServiceSecurity security, ImmutableArray<string> addresses, CompiledService? previous)
    {
        if (previous is not null && ReferenceEquals(previous.Service, service) && Sequence.Same(previous.Addresses, addresses)
            && previous.security.SameIdentities(security) && previous.security.SameModes(security)) return previous;
        var sameShape = previous is not null && SameShape(previous.Service, service);
        var ports = ImmutableArray.CreateBuilder<CompiledPort>(service.Ports.Length);
        for (var i = 0; i < service.Ports.Length; i++)
            ports.Add(CompiledPort.From(service, service.Ports[i], security, sameShape ? previous!.Ports[i] : null));
        return new CompiledService(service, security, addresses, ports.MoveToImmutable(), sameShape ? previous : null);
    }

    /// <summary>Virtual hosts for the outbound listener of clients of a namespace, one for each HTTP port; outside of the mesh for others, too, since clients of a proxy ask for tunnels there (CONNECT).</summary>
    public ImmutableArray<VirtualHost> VirtualHosts(string client, bool bare) =>
        virtualHosts.GetOrAdd((ClientKey(client), bare), static (key, self) =>
        [
            .. self.Service.Ports.Where(port => port.Protocol != AppProtocol.Tcp || self.Service.External is not null).Select(port => new VirtualHost
            {
                Name = $"{self.Service.Name.Host}:{port.Port}",
                Domains = { ServiceHosts.Domains(self.Service, port, key.Bare) },
                Routes = { RouteCompiler.Compile(self.Service, port, key.Client, EmitterKind.Sidecar) },
            }),
        ], this);

    /// <summary>Routes of an explicit upstream listener: every host means this port.</summary>
    public Resource UpstreamRoutes(string client, ResolvedPort port) =>
        upstreamRoutes.GetOrAdd((ClientKey(client), port.Port), static (key, from) =>
        {
            var name = XdsNames.UpstreamRoutes(from.Service.Name, from.Port.Port);
            return Resource.Of(name, AnyHost(name, RouteCompiler.Compile(from.Service, from.Port, key.Client, EmitterKind.Sidecar)));
        }, (Service, Port: port));

    /// <summary>The routes of all ports whose chains speak HTTP, for clients of a namespace.</summary>
    public IEnumerable<Resource> CapturedRoutes(string client) =>
        Addresses.IsEmpty ? [] : Service.Ports.Where(port => port.Protocol != AppProtocol.Tcp).Select(port => UpstreamRoutes(client, port));

    /// <summary>Listeners and routes for gRPC libraries in a namespace.</summary>
    public GrpcService Grpc(string client, bool bare) =>
        grpc.GetOrAdd((ClientKey(client), bare), static (key, service) => GrpcService.Compile(service, key.Client, key.Bare), Service);

    /// <summary>The services whose clusters the routes for a client name.</summary>
    public IEnumerable<BackendRef> Backends(string client) => Service.Ports
        .SelectMany(port => RouteCompiler.Applicable(Service, port, client))
        .SelectMany(route => route.Rules).SelectMany(rule => rule.Backends);

    /// <summary>A route configuration with one virtual host for every host.</summary>
    public static RouteConfiguration AnyHost(string name, IEnumerable<Route> routes) => new()
    {
        Name = name,
        VirtualHosts = { new VirtualHost { Name = name, Domains = { "*" }, Routes = { routes } } },
    };

    // Clients of namespaces without routes of their own share everything.
    private string ClientKey(string client) =>
        Service.Routes.Any(route => route.Name.Namespace == client) ? client : Service.Name.Namespace;

    private static bool SameShape(Service one, Service other) =>
        one.Ports.Length == other.Ports.Length
        && one.Ports.Zip(other.Ports).All(pair => pair.First with { Endpoints = default } == pair.Second with { Endpoints = default })
        && one with { Ports = default } == other with { Ports = default };
}
