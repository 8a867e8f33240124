using Mesh.Api.Identity;
using Mesh.ControlPlane.Identity.Authority;

namespace Mesh.ControlPlane.Identity.Issuing;

/// <summary>Who asks for a certificate, and how that was proved. Immutable.</summary>
/// <param name="Id">The identity; of the request itself nothing is believed but its key.</param>
/// <param name="By"><c>token</c>, <c>kubernetes</c> or <c>certificate</c>.</param>
/// <param name="Holder">The holder whose certificate is renewed, or a new one.</param>
internal sealed record Credential(SpiffeId Id, string By, Holder Holder);

/// <summary>Why no certificate is issued: a short reason for metrics, words for the caller. Immutable.</summary>
internal sealed record Refusal(string Reason, string Text);
