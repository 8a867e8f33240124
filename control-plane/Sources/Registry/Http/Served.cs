using System.Text.Json;
using Mesh.ControlPlane.Sources.Registry.Json;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>Refuses fields of Consul that this registry knows of but does not act on: taking them in silence would be a lie. Stateless.</summary>
internal static class Served
{
    public static void Require(RegisterRequest r)
    {
        Refuse(("PeerName", r.PeerName));
        if (r.Service is not null) Require(r.Service);
        foreach (var check in r.Checks ?? []) Require(check);
        if (r.Check is not null) Require(r.Check);
    }

    public static void Require(NodeRequest r) => Refuse(("PeerName", r.PeerName));

    public static void Require(ServiceRequest r) =>
        Refuse(("Service.Kind", r.Kind), ("Service.Proxy", r.Proxy), ("Service.Connect", ConnectOf(r.Connect)), ("Service.SocketPath", r.SocketPath), ("Service.PeerName", r.PeerName));

    public static void Require(CheckRequest r) => Refuse(("Check.PeerName", r.PeerName));

    public static void Require(AgentServiceRegistration r)
    {
        Refuse(("Kind", r.Kind), ("Proxy", r.Proxy), ("Connect", ConnectOf(r.Connect)), ("SocketPath", r.SocketPath));
        foreach (var check in r.Checks ?? []) Require(check);
        if (r.Check is not null) Require(r.Check);
    }

    public static void Require(AgentCheckRequest r) => Refuse(
        ("ScriptArgs", r.ScriptArgs),
        ("H2PING", r.H2PING),
        ("TCPUseTLS", r.TCPUseTLS),
        ("UDP", r.UDP),
        ("GRPC", r.GRPC),
        ("OSService", r.OSService),
        ("DockerContainerID", r.DockerContainerID),
        ("AliasNode", r.AliasNode),
        ("AliasService", r.AliasService),
        ("TLSServerName", r.TLSServerName));

    /// <summary>An empty SidecarService is not nothing: it asks for a sidecar with all defaults.</summary>
    private static JsonElement? ConnectOf(JsonElement? connect) =>
        connect is { ValueKind: JsonValueKind.Object } some && some.TryGetProperty("SidecarService", out var sidecar) && sidecar.ValueKind == JsonValueKind.Object
            ? Something
            : connect;

    private static readonly JsonElement Something = JsonDocument.Parse("true").RootElement;

    private static void Refuse(params ReadOnlySpan<(string Name, JsonElement? Value)> fields)
    {
        foreach (var (name, value) in fields)
        {
            if (!Entry.IsEmpty(value)) throw Refusal.NotServed($"the field \"{name}\"");
        }
    }
}
