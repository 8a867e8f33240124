using System.Text;
using Proto = Mesh.Api.V1.NameTable;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>NameTable: xDS to the compact table. One use; one thread.</summary>
internal sealed class NamesBuilder
{
    private const int MostName = 253;
    private const int MostLabel = 63;
    private const string DefaultNamespace = "default";
    private readonly MemoryStream text = new();
    private readonly MemoryStream addresses = new();
    private readonly List<NameEntry> entries = [];
    private readonly List<string> clusters = [];

    private NamesBuilder()
    {
    }

    /// <summary>Builds the table; what is wrong goes to <paramref name="field"/>.</summary>
    public static NameTable Build(Proto proto, Field field)
    {
        var builder = new NamesBuilder();
        if (!IsHost(proto.ClusterDomain)) field.Error("cluster_domain", $"\"{proto.ClusterDomain}\" is not a domain in lower case");
        for (var i = 0; i < proto.Services.Count; i++) builder.Add(proto.Services[i], field.At("services", i));
        for (var i = 0; i < proto.Externals.Count; i++) builder.Add(proto.Externals[i], field.At("externals", i));
        return new NameTable(new NameTableParts(proto.ClusterDomain, builder.text.ToArray(), builder.addresses.ToArray(), [.. builder.entries], [.. builder.clusters]));
    }

    private void Add(Proto.Types.Service service, Field field)
    {
        var space = service.Namespace.Length == 0 ? DefaultNamespace : service.Namespace;
        if (!IsLabel(service.Name)) field.Error("name", $"\"{service.Name}\" is not a DNS label in lower case");
        if (!IsLabel(space)) field.Error("namespace", $"\"{space}\" is not a DNS label in lower case");
        if (service.Name.Length > MostLabel || space.Length > MostLabel) return; // said above
        Add($"{service.Name}.{space}", service.Addresses, service.InstancesOf, field, new NameEntry { NameLength = (byte)service.Name.Length, Bare = service.Bare });
    }

    private void Add(Proto.Types.External external, Field field)
    {
        var wildcard = external.Host.StartsWith("*.", StringComparison.Ordinal);
        var host = wildcard ? external.Host[2..] : external.Host;
        if (IsHost(host)) Add(host, external.Addresses, external.InstancesOf, field, new NameEntry { External = true, Wildcard = wildcard });
        else field.Error("host", $"\"{external.Host}\" is not a host name in lower case");
    }

    private void Add(string name, IReadOnlyList<Google.Protobuf.ByteString> given, string instancesOf, Field field, NameEntry entry)
    {
        for (var i = 0; i < given.Count; i++)
        {
            if (given[i].Length is not (4 or 16)) field.At("addresses", i).Error($"is of {given[i].Length} bytes, not of 4 or 16");
        }

        if (given.Count > byte.MaxValue) field.Error("addresses", $"{given.Count} are more than {byte.MaxValue}");
        var bytes = Encoding.ASCII.GetBytes(name);
        entries.Add(entry with
        {
            Start = (int)text.Length,
            Length = (byte)bytes.Length,
            AddressesAt = (int)addresses.Length,
            InstancesOf = instancesOf.Length == 0 ? -1 : clusters.Count,
            V4 = (byte)given.Count(a => a.Length == 4),
            V6 = (byte)given.Count(a => a.Length == 16),
        });
        text.Write(bytes);
        foreach (var address in given.OrderBy(a => a.Length)) addresses.Write(address.Span);
        if (instancesOf.Length > 0) clusters.Add(instancesOf);
    }

    private static bool IsHost(string host) => host.Length is > 0 and <= MostName && host.Split('.').All(IsLabel);

    private static bool IsLabel(string label) =>
        label.Length is > 0 and <= MostLabel && label.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '-' or '_');
}
