using System.Collections.Immutable;
using System.Net;
using System.Text.Json;
using Mesh.Sidecar.Admin;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;

namespace Mesh.Sidecar;

/// <summary>Binds what the flags ask for, and tells others what was bound. Stateless.</summary>
internal static class Bindings
{
    private static readonly IPEndPoint DefaultDns = new(IPAddress.Loopback, 15053);

    /// <summary>The workload with its sockets bound. Throws <see cref="IOException"/> in words when a port is taken.</summary>
    public static Workload Bind(Flags flags, BoundSockets sockets, Func<string> makeId)
    {
        // A static file brings its own listeners.
        var outbound = flags.Static is null ? flags.Outbound : null;
        var capture = flags.Capture is { } mode ? BindCapture(flags, mode, sockets) : null;
        return new Workload
        {
            Id = flags.Workload.Length > 0 ? flags.Workload : makeId(),
            Service = flags.Service,
            Namespace = flags.Namespace,
            Version = flags.Version,
            Address = AddressOf(flags),
            Zone = flags.Zone,
            Labels = flags.Labels,
            DiscoverAll = flags.DiscoverAll,
            Capture = capture,
            Outbound = capture is not null ? capture.Outbound[0] : outbound is null ? null : sockets.Bind("--outbound", outbound),
            Ports = [.. flags.Ports.Select((port, index) => BindPort(flags, port, index, sockets))],
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
            if (workload.Capture is { } capture) Write(json, capture);
            json.WriteEndObject();
        }

        File.Move(temporary, path, overwrite: true);
    }

    private static void Write(Utf8JsonWriter json, WorkloadCapture capture)
    {
        json.WriteStartObject("capture");
        foreach (var (key, addresses) in new[] { ("outbound", capture.Outbound), ("inbound", capture.Inbound), ("dns", capture.Dns) })
        {
            json.WriteStartArray(key);
            foreach (var address in addresses) json.WriteStringValue(address.ToString());
            json.WriteEndArray();
        }

        json.WriteEndObject();
    }

    private static void Address(Utf8JsonWriter json, string key, IPEndPoint? address)
    {
        if (address is not null) json.WriteString(key, address.ToString());
    }

    /// <summary>Both families of each, so that no traffic of one goes by; a machine without IPv6 has one.</summary>
    private static WorkloadCapture BindCapture(Flags flags, CaptureMode mode, BoundSockets sockets)
    {
        var outbound = sockets.BindBoth("--outbound", IPAddress.Loopback, IPAddress.IPv6Loopback, flags.Outbound!.Port);
        var inbound = sockets.BindBoth("--inbound-capture", IPAddress.Any, IPAddress.IPv6Any, flags.InboundCapture, mode == CaptureMode.Tproxy);
        return new WorkloadCapture(mode, outbound, inbound, BindDns(flags.Dns ?? [DefaultDns], sockets)) { DeclaredOnly = flags.DeclaredOnly };
    }

    private static ImmutableArray<IPEndPoint> BindDns(ImmutableArray<IPEndPoint> wanted, BoundSockets sockets)
    {
        if (wanted is not [var address]) return [];
        var bound = IPAddress.IsLoopback(address.Address)
            ? sockets.BindBoth("--dns", IPAddress.Loopback, IPAddress.IPv6Loopback, address.Port)
            : [sockets.Bind("--dns", address)];
        foreach (var server in bound) sockets.BindDatagrams("--dns", server);
        return bound;
    }

    private static WorkloadPort BindPort(Flags flags, PortFlag port, int index, BoundSockets sockets)
    {
        if (flags.Capture is not null) return new WorkloadPort(port.Port, port.Name, port.Protocol, null);
        var listen = index < flags.Inbound.Length ? flags.Inbound[index] : new IPEndPoint(IPAddress.Loopback, 0);
        return new WorkloadPort(port.Port, port.Name, port.Protocol, sockets.Bind($"--inbound of port {port.Port}", listen));
    }

    private static string AddressOf(Flags flags)
    {
        if (flags.Address is { } given) return given;
        if (flags.Capture is null) return "127.0.0.1";
        return MachineAddress.Find()?.ToString() ?? throw new IOException("--address: this machine has no address that others could reach; give the one they use");
    }
}
