using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Names of protocols as metadata and flags write them. Pure.</summary>
internal static class ProtocolText
{
    /// <summary>The name of a protocol.</summary>
    public static string Of(AppProtocol protocol) => protocol switch
    {
        AppProtocol.Http => "http",
        AppProtocol.Http2 => "http2",
        AppProtocol.Grpc => "grpc",
        AppProtocol.Tcp => "tcp",
        _ => "unknown",
    };

    /// <summary>The protocol of a name, or null when there is no such.</summary>
    public static AppProtocol? Parse(string text) => text switch
    {
        "http" => AppProtocol.Http,
        "http2" => AppProtocol.Http2,
        "grpc" => AppProtocol.Grpc,
        "tcp" => AppProtocol.Tcp,
        "unknown" => AppProtocol.Unknown,
        _ => null,
    };
}
