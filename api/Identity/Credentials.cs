namespace Mesh.Api.Identity;

/// <summary>What a workload proves itself with and what it believes others by, swapped together. Immutable.</summary>
/// <param name="Svid">Its own certificate and key.</param>
/// <param name="Bundle">The roots it believes.</param>
public sealed record Credentials(Svid Svid, TrustBundle Bundle);
