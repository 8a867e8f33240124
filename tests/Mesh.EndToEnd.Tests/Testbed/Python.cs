using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Testbed;

/// <summary>gRPC's C core, through Python: clients and servers that are configured by xDS and prove themselves with files. Stateless.</summary>
internal static class Python
{
    private const string Program = "/usr/bin/python3";

    /// <summary>Skips the test where there is none.</summary>
    public static async Task RequireGrpcAsync()
    {
        Skip.IfNot(File.Exists(Program), "no /usr/bin/python3");
        await using var probe = ChildProcess.Start(Program, ["-c", "import grpc"]);
        Skip.If(await probe.WaitAsync(30) != 0, "gRPC for Python is not installed (Debian package python3-grpcio)");
    }

    /// <summary>A client (tests/interop/python/client.py) whose certificates are in the folder's <c>certificates</c>.</summary>
    public static async Task<ChildProcess> StartXdsClientAsync(MeshTestbed bed, TemporaryFolder folder, string name, string target)
    {
        await WriteBootstrapAsync(bed, folder, name, "");
        return Start(folder, "python/client.py", target, "secure");
    }

    /// <summary>A server (tests/interop/python/server.py) on a port, with its certificates in the folder's <c>certificates</c>.</summary>
    public static async Task<ChildProcess> StartXdsServerAsync(MeshTestbed bed, TemporaryFolder folder, string name, int port)
    {
        await WriteBootstrapAsync(bed, folder, name, $$""", "ports": [{"port": {{port}}, "name": "grpc", "protocol": "grpc", "listen": "127.0.0.1:{{port}}"}]""");
        return Start(folder, "python/server.py", $"127.0.0.1:{port}");
    }

    private static ChildProcess Start(TemporaryFolder folder, string script, params string[] arguments) => ChildProcess.Start(
        Program, [Programs.Interop(script), .. arguments], ("GRPC_XDS_BOOTSTRAP", folder["bootstrap.json"]), ("http_proxy", null), ("GRPC_XDS_EXPERIMENTAL_RBAC", "true"));

    private static Task WriteBootstrapAsync(MeshTestbed bed, TemporaryFolder folder, string name, string more) =>
        File.WriteAllTextAsync(folder["bootstrap.json"], $$$"""
            {"xds_servers": [{"server_uri": "{{{bed.ControlPlane.Xds}}}", "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
             "node": {"id": "{{{name}}}-grpc", "cluster": "{{{name}}}", "locality": {}, "metadata": {"mesh": {"service": "{{{name}}}", "certificates": "default"{{{more}}} } } },
             "server_listener_resource_name_template": "grpc/server?xds.resource.listening_address=%s",
             "certificate_providers": {"default": {"plugin_name": "file_watcher", "config": {
               "certificate_file": "{{{folder["certificates/tls.crt"]}}}", "private_key_file": "{{{folder["certificates/tls.key"]}}}",
               "ca_certificate_file": "{{{folder["certificates/ca.crt"]}}}", "refresh_interval": "1s" } } } }
            """);
}
