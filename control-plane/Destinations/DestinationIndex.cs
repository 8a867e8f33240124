using System.Net;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Destinations;

/// <summary>Who is at an address, in one world. Made when somebody asks, kept while the world is the same. Immutable.</summary>
internal sealed class DestinationIndex
{
    private readonly ILookup<IPAddress, Instance> instances;
    private readonly ILookup<IPAddress, Service> services;

    /// <summary>Indexes a world.</summary>
    public DestinationIndex(World world)
    {
        World = world;
        instances = Addressed(world.Instances.Values, instance => [instance.Address, .. instance.MoreAddresses]);
        services = Addressed(world.Services.Values, service => world.AddressesOf(service));
    }

    /// <summary>What was indexed.</summary>
    public World World { get; }

    /// <summary>The instances at an address.</summary>
    public IEnumerable<Instance> Instances(IPAddress address) => instances[address];

    /// <summary>The services an address means.</summary>
    public IEnumerable<Service> Services(IPAddress address) => services[address];

    private static ILookup<IPAddress, T> Addressed<T>(IEnumerable<T> all, Func<T, IReadOnlyCollection<string>> addresses) =>
        all.SelectMany(one => addresses(one).Select(text => (One: one, Address: IPAddress.TryParse(text, out var parsed) ? parsed : null)))
            .Where(pair => pair.Address is not null).ToLookup(pair => pair.Address!, pair => pair.One);
}
