using System.Net;
using System.Text.Json;
using Mesh.Sidecar.Admin;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;

namespace Mesh.Sidecar;

/// <summary>Binds what the flags ask for, and tells others what was bound. Stateless.</summary>
internal static class Bindings
{
    /// <summary>The workload with its sockets bound. Throws <see cref="IOException"/> in words when a port is taken.</summary>
    public static Workload Bind(Flags flags, BoundSockets sockets, Func<string> makeId)
    {
        // A static file brings its own listeners.
        var outbound = flags.Static is null ? flags.Outbound : null;
        return new Workload
        {
            Id = flags.Workload.Length > 0 ? flags.Workload : makeId(),
            Service = flags.Service,
            Namespace = flags.Namespace,
            Version = flags.Version,
            Address = flags.Address,
            Zone = flags.Zone,
            Labels = flags.Labels,
            DiscoverAll = flags.DiscoverAll,
            Outbound = outbound is null ? null : sockets.Bind("--outbound", outbound),
            Ports = [.. flags.Ports.Select((p, i) => new WorkloadPort(p.Port, p.Name, p.Protocol, sockets.Bind($"--inbound of port {p.Port}", InboundOf(flags, i))))],
            Upstreams = [.. flags.Upstreams.Select(u => new WorkloadUpstream(u.Service, u.Port, u.Protocol, sockets.Bind($"--upstream {u.Service}", u.Listen)))],
        };
    }

    /// <summary>Writes the bound addresses as JSON, whole or not at all: to a file beside it first, then in its place.</summary>
    public static void Write(string path, Workload workload, AdminAddresses admin)
    {
        var temporary = $"{path}.{Environment.ProcessId}.tmp";
        using (var file = File.Create(temporary))
        using (var json = new Utf8JsonWriter(file, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            Address(json, "admin", admin.Admin);
            Address(json, "outbound", workload.Outbound);
            Address(json, "metrics", admin.Metrics);
            Address(json, "readiness", admin.Readiness);
            json.WriteStartObject("inbound");
            foreach (var port in workload.Ports) Address(json, $"{port.Port}", port.Listen);
            json.WriteEndObject();
            json.WriteStartObject("upstreams");
            foreach (var upstream in workload.Upstreams) Address(json, upstream.Port is null ? upstream.Service : $"{upstream.Service}:{upstream.Port}", upstream.Listen);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        File.Move(temporary, path, overwrite: true);
    }

    private static void Address(Utf8JsonWriter json, string key, IPEndPoint? address)
    {
        if (address is not null) json.WriteString(key, address.ToString());
    }

    private static IPEndPoint InboundOf(Flags flags, int index) =>
        index < flags.Inbound.Length ? flags.Inbound[index] : new IPEndPoint(IPAddress.Loopback, 0);
}
