namespace Mesh.Sidecar.Registration;

/// <summary>
/// Turns looks at the application into a state that does not flap: passing at the first good look, failing after two bad ones in a row.
/// Pure; one thread.
/// </summary>
internal sealed class HealthWatch
{
    private const int BadInARow = 2;
    private int bad;

    /// <summary>The state; null before the application was first seen to be there.</summary>
    public AppHealth? State { get; private set; }

    /// <summary>Takes a look in; true when the state changed.</summary>
    public bool Take(AppHealth look)
    {
        bad = look.Passing ? 0 : bad + 1;
        if (look.Passing ? State is { Passing: true } : State is not { Passing: true } || bad < BadInARow) return false;
        State = look;
        return true;
    }
}
