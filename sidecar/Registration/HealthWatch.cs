using System.Collections.Immutable;

namespace Mesh.Sidecar.Registration;

/// <summary>
/// Turns looks at the application into a state that does not flap: a port, and the health page, is well at the first good look and no longer after two bad
/// ones in a row. The application as such is well while its page is, or, without one, while any port accepts: a port that nobody serves (yet) costs
/// that port its traffic and no other. Pure; one thread.
/// </summary>
/// <param name="ports">The application's ports.</param>
/// <param name="hasPage">True when there is a health page.</param>
internal sealed class HealthWatch(ImmutableArray<int> ports, bool hasPage)
{
    private readonly Steady[] steady = [.. ports.Select(_ => new Steady())];
    private readonly Steady page = new();

    /// <summary>The state; null before the application was first seen to be there.</summary>
    public AppState? State { get; private set; }

    /// <summary>True for a port that was never seen to accept, by its place among the ports.</summary>
    public bool IsAwaited(int index) => !steady[index].WasSeen;

    /// <summary>True while any port is such a one.</summary>
    public bool AwaitsAny => Array.Exists(steady, port => !port.WasSeen);

    /// <summary>Takes a look in; true when the state changed.</summary>
    public bool Take(AppLook look)
    {
        for (var i = 0; i < steady.Length; i++) steady[i].Take(look.Ports[i]);
        page.Take(look.Page);
        var passing = hasPage ? page.IsWell : Array.Exists(steady, port => port.IsWell);
        if (State is null && !passing) return false;

        // Of an application that is not there at all no port is told apart.
        ImmutableArray<int> down = passing ? [.. ports.Where((_, i) => !steady[i].IsWell)] : [];
        var changed = State is null || State.Passing != passing || !State.PortsDown.SequenceEqual(down);
        if (changed) State = new AppState(passing, down, Detail(passing));
        return changed;
    }

    private string Detail(bool passing)
    {
        var bad = steady.Where(port => !port.IsWell).Select(port => port.Detail);
        if (!passing && hasPage) bad = bad.Prepend(page.Detail).Distinct(StringComparer.Ordinal);
        return string.Join("; ", bad.Where(detail => detail.Length > 0));
    }

    /// <summary>One thing that is looked at.</summary>
    private sealed class Steady
    {
        private const int BadInARow = 2;
        private int bad;

        public bool WasSeen { get; private set; }

        public bool IsWell { get; private set; }

        public string Detail { get; private set; } = "";

        public void Take(AppHealth? look)
        {
            if (look is not { } seen) return;
            bad = seen.Passing ? 0 : bad + 1;
            WasSeen |= seen.Passing;
            IsWell = seen.Passing || (IsWell && bad < BadInARow);
            Detail = seen.Detail;
        }
    }
}

/// <summary>How the application is. Immutable.</summary>
/// <param name="Passing">True when it may get traffic at all.</param>
/// <param name="PortsDown">Those of its ports that may not all the same.</param>
/// <param name="Detail">What is not well, for people.</param>
internal sealed record AppState(bool Passing, ImmutableArray<int> PortsDown, string Detail);
