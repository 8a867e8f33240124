namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>What Consul answered. Immutable.</summary>
/// <param name="Found">False for a 404 where absence is an answer (KV).</param>
/// <param name="Value">The decoded body; default when not found.</param>
/// <param name="Index">X-Consul-Index, or null when the answer had none and so cannot be blocked on.</param>
internal readonly record struct ConsulAnswer<T>(bool Found, T? Value, ulong? Index);
