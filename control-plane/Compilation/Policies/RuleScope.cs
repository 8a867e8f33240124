namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>What a rule is compiled for. Immutable.</summary>
/// <param name="TrustDomain">The trust domain of the mesh.</param>
/// <param name="Port">The port of the application: which rules look at it is known here, so nothing of it is left for the data plane.</param>
/// <param name="Http">True for HTTP, false for a TCP connection, which has no method, path, host and headers.</param>
/// <param name="Dialect">Who reads it.</param>
internal sealed record RuleScope(string TrustDomain, int Port, bool Http, EmitterKind Dialect);
