using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Model;

/// <summary>
/// Who makes a call, proved by the certificate of its connection: a feature of the HTTP request, absent where nothing was proved
/// (plaintext). Whatever a message says about its sender is checked against it. Immutable.
/// </summary>
/// <param name="Id">The identity of the certificate.</param>
public sealed record Caller(SpiffeId Id);
