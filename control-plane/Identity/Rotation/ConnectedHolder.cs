namespace Mesh.ControlPlane.Identity.Rotation;

/// <summary>A holder of a certificate with an open stream to this control plane. Immutable.</summary>
/// <param name="Holder">Who it is.</param>
/// <param name="Identity">Its SPIFFE ID.</param>
/// <param name="Node">Its node id.</param>
/// <param name="Believes">Whether it has acknowledged the roots in force.</param>
internal sealed record ConnectedHolder(string Holder, string Identity, string Node, bool Believes);

/// <summary>Somebody a phase waits for. Immutable.</summary>
/// <param name="Identity">Its SPIFFE ID.</param>
/// <param name="Node">Its node id; its holder's id where it is not connected here.</param>
/// <param name="Until">Until when at the latest: the end of its certificate.</param>
internal sealed record Laggard(string Identity, string Node, DateTimeOffset Until);
