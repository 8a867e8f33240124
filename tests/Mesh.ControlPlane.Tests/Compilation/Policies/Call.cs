namespace Mesh.ControlPlane.Tests.Compilation.Policies;

/// <summary>A request, or with an empty method a TCP connection, to a port of the workload under test.</summary>
internal sealed record Call(string? Principal, string SourceIp, string DestinationIp, int Port, string Host, string Method, string Path, string? Header)
{
    public bool IsHttp => Method.Length > 0;
}
