using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules.Documents;

namespace Mesh.ControlPlane.Rules.Kubernetes;

/// <summary>What is spoken on a port, from <c>appProtocol</c>, else from the prefix of the port's name. Pure.</summary>
internal static class PortProtocol
{
    /// <summary>Reads <c>appProtocol</c>, with the name as second best.</summary>
    public static AppProtocol Read(Fields port, string portName)
    {
        if (port.Text("appProtocol") is not { } declared) return OfName(portName);
        if (Known(declared.ToLowerInvariant()) is { } known) return known;
        port.Warn("appProtocol", $"\"{declared}\" is not known to the mesh: the port is treated as opaque bytes");
        return AppProtocol.Tcp;
    }

    /// <summary>False (and a warning) for ports that are not TCP.</summary>
    public static bool IsTcp(Fields port)
    {
        var protocol = port.Word("protocol", "TCP", "UDP", "SCTP") ?? "TCP";
        if (protocol == "TCP") return true;
        port.Warn("protocol", $"the mesh carries TCP only: this {protocol} port is left out");
        return false;
    }

    /// <summary>What the prefix of a name says.</summary>
    public static AppProtocol OfName(string name)
    {
        var dash = name.IndexOf('-', StringComparison.Ordinal);
        return Known(dash < 0 ? name : name[..dash]) ?? AppProtocol.Unknown;
    }

    private static AppProtocol? Known(string text) => text switch
    {
        "http" or "ws" or "kubernetes.io/ws" => AppProtocol.Http,
        "http2" or "h2c" or "kubernetes.io/h2c" => AppProtocol.Http2,
        "grpc" => AppProtocol.Grpc,
        "tcp" or "https" or "tls" or "wss" or "kubernetes.io/wss" or "mysql" or "mongo" or "redis" or "postgres" or "amqp" => AppProtocol.Tcp,
        _ => null,
    };
}
