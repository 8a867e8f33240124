using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;
using Node = Envoy.Config.Core.V3.Node;

namespace Mesh.Sidecar;

/// <summary>
/// What the flags left open and the last start made up: the workload's ID and free ports. Peers know them, and kept listeners name them, so they are
/// taken again where they are free. Stateless.
/// </summary>
internal static class RememberedPorts
{
    /// <summary>The flags with what was made up for this node; as they are where it is another's.</summary>
    public static Flags In(Flags flags, Node node)
    {
        if (node.Metadata?.Fields.GetValueOrDefault("mesh")?.StructValue?.Fields is not { } mesh) return flags;
        if (Text(mesh, "service") != flags.Service || Text(mesh, "namespace") != flags.Namespace) return flags;
        if (flags.Workload.Length > 0 && flags.Workload != Text(mesh, "workload")) return flags;
        flags = flags with { Workload = Text(mesh, "workload") };
        if (flags.Capture is not null) return Captured(flags, mesh);
        return flags with
        {
            Outbound = Again(flags.Outbound, Text(mesh, "outbound")),
            Inbound = [.. flags.Ports.Select((port, index) => Again(index < flags.Inbound.Length ? flags.Inbound[index] : new IPEndPoint(IPAddress.Loopback, 0), Inbound(mesh, port.Port))!)],
            Upstreams = [.. flags.Upstreams.Select((upstream, index) => upstream with { Listen = Again(upstream.Listen, Upstream(mesh, index, upstream.Service))! })],
        };
    }

    private static Flags Captured(Flags flags, MapField<string, Value> mesh)
    {
        var capture = mesh.GetValueOrDefault("capture")?.StructValue?.Fields;
        var outbound = Again(flags.Outbound, First(capture, "outbound"));
        var inbound = flags.InboundCapture > 0 ? null : Again(new IPEndPoint(IPAddress.Any, 0), First(capture, "inbound"));
        return flags with { Outbound = outbound, InboundCapture = inbound?.Port ?? flags.InboundCapture };
    }

    /// <summary>The address as asked for; when that leaves the port open, with the one it had if that is free.</summary>
    private static IPEndPoint? Again(IPEndPoint? asked, string had) =>
        asked is { Port: 0 } && IPEndPoint.TryParse(had, out var before) && before.Address.Equals(asked.Address) && IsFree(before) ? before : asked;

    private static bool IsFree(IPEndPoint address)
    {
        try
        {
            using var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(address);
            socket.Listen(1);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static string Inbound(MapField<string, Value> mesh, int port) => List(mesh, "ports").Where(one => one.GetValueOrDefault("port")?.NumberValue == port).Select(one => Text(one, "listen")).FirstOrDefault("");

    private static string Upstream(MapField<string, Value> mesh, int index, string service) =>
        List(mesh, "upstreams").ElementAtOrDefault(index) is { } upstream && Text(upstream, "service") == service ? Text(upstream, "listen") : "";

    private static IEnumerable<MapField<string, Value>> List(MapField<string, Value> mesh, string name) =>
        mesh.GetValueOrDefault(name)?.ListValue?.Values.Select(value => value.StructValue?.Fields).OfType<MapField<string, Value>>() ?? [];

    private static string First(MapField<string, Value>? fields, string name) => fields?.GetValueOrDefault(name)?.ListValue?.Values.FirstOrDefault()?.StringValue ?? "";

    private static string Text(MapField<string, Value> fields, string name) => fields.GetValueOrDefault(name)?.StringValue ?? "";
}
