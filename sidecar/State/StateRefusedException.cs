namespace Mesh.Sidecar.State;

/// <summary>What was kept is not used; the words say why, the reason is for metrics.</summary>
internal sealed class StateRefusedException(string reason, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>One word: damaged, format, old, clock, foreign, revoked, certificate, resources, unreadable, in_use.</summary>
    public string Reason => reason;
}
