namespace Mesh.ControlPlane;

/// <summary>The program cannot start; the message is for the person who started it, and says what to change.</summary>
internal sealed class StartException(string message, Exception? inner = null) : Exception(message, inner);
