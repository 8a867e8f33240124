using System.Text.Json;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Json;

/// <summary>Turns what came in into what the store holds; what is left out gets Consul's default. Stateless.</summary>
internal static class Entry
{
    public static NodeEntry Of(RegisterRequest r) => new()
    {
        Id = r.ID ?? "",
        Name = r.Node ?? "",
        Address = r.Address ?? "",
        TaggedAddresses = r.TaggedAddresses ?? Map.Empty<string>(),
        Meta = r.NodeMeta ?? Map.Empty<string>(),
    };

    public static NodeEntry Of(NodeRequest r) => new()
    {
        Id = r.ID ?? "",
        Name = r.Node ?? "",
        Address = r.Address ?? "",
        TaggedAddresses = r.TaggedAddresses ?? Map.Empty<string>(),
        Meta = r.Meta ?? Map.Empty<string>(),
    };

    public static ServiceEntry Of(ServiceRequest r) => new()
    {
        Id = string.IsNullOrEmpty(r.ID) ? r.Service ?? "" : r.ID,
        Name = r.Service ?? "",
        Address = r.Address ?? "",
        Port = r.Port ?? 0,
        Tags = r.Tags ?? [],
        Meta = r.Meta ?? Map.Empty<string>(),
        TaggedAddresses = Of(r.TaggedAddresses),
        Weights = Of(r.Weights),
        EnableTagOverride = r.EnableTagOverride ?? false,
    };

    public static CheckEntry Of(CheckRequest r, string node) => new()
    {
        Node = string.IsNullOrEmpty(r.Node) ? node : r.Node,
        Id = string.IsNullOrEmpty(r.CheckID) ? r.Name ?? "" : r.CheckID,
        Name = r.Name ?? "",
        Status = string.IsNullOrEmpty(r.Status) ? CheckStatus.Critical : r.Status,
        Notes = r.Notes ?? "",
        Output = r.Output ?? "",
        ServiceId = r.ServiceID ?? "",
        Type = r.Type ?? "",
        Interval = r.Interval ?? "",
        Timeout = r.Timeout ?? "",
    };

    public static IReadOnlyDictionary<string, ServiceAddress> Of(Dictionary<string, AddressRequest>? addresses) =>
        addresses is null or { Count: 0 }
            ? Map.Empty<ServiceAddress>()
            : addresses.ToDictionary(a => a.Key, a => new ServiceAddress(a.Value.Address ?? "", a.Value.Port ?? 0), StringComparer.Ordinal);

    public static ServiceWeights Of(WeightsRequest? weights) => weights is null ? new ServiceWeights(1, 1) : new ServiceWeights(weights.Passing ?? 0, weights.Warning ?? 0);

    /// <summary>Does a field that this registry does not serve say nothing? Clients send back the empty forms they were once answered.</summary>
    public static bool IsEmpty(JsonElement? field) => field is not { } value || value.ValueKind switch
    {
        JsonValueKind.Null or JsonValueKind.Undefined or JsonValueKind.False => true,
        JsonValueKind.String => value.ValueEquals(""),
        JsonValueKind.Number => value.TryGetDouble(out var number) && number == 0,
        JsonValueKind.Array => value.GetArrayLength() == 0,
        JsonValueKind.Object => value.EnumerateObject().All(m => IsEmpty(m.Value)),
        _ => false,
    };
}
