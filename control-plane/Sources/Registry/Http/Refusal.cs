namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>A request that is answered with a status and words instead of data. Thrown by the endpoints, answered by <see cref="RegistryApplication"/>.</summary>
internal sealed class Refusal(int status, string words) : Exception(words)
{
    public int Status { get; } = status;

    /// <summary>A part of Consul's API that the built-in registry knows of and does not serve.</summary>
    public static Refusal NotServed(string what) => new(501, $"{what} is not served by the built-in registry; run a Consul and start the control plane with --consul");
}
