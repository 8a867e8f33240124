using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model;

/// <summary>Collects the endpoints of one port: healthy ones, each address once. One thread, one port.</summary>
internal sealed class EndpointList
{
    private readonly ImmutableArray<Endpoint>.Builder endpoints = ImmutableArray.CreateBuilder<Endpoint>();
    private readonly HashSet<(string Address, int Port)> seen = [];

    /// <summary>An instance with this address and port was there already.</summary>
    public Instance? Twin { get; private set; }

    /// <summary>Adds an instance if this port of it may get traffic.</summary>
    public void Add(Instance instance, InstancePort port)
    {
        if (port.IsDown || instance.Health is not (InstanceHealth.Passing or InstanceHealth.Warning)) return;
        if (seen.Add((instance.Address, port.Port))) endpoints.Add(new Endpoint(instance.Address, port.Port, instance));
        else Twin ??= instance;
    }

    /// <summary>The endpoints in the order they were added; says so once when two instances claim one address.</summary>
    public ImmutableArray<Endpoint> Done(ServiceName service, Notices notices)
    {
        if (Twin is { } twin)
            notices.Add(twin.Source, $"instance {twin.Id} of {service} has the address of another instance and is ignored: remove one of the registrations");
        return endpoints.DrainToImmutable();
    }
}
