namespace Mesh.Api.Identity.Agent;

/// <summary>
/// When to ask next: at half the life of what is held, give or take a tenth; after a failure soon, then ever more seldom. Used by one
/// loop.
/// </summary>
internal sealed class RenewalSchedule(TimeProvider time, Random random)
{
    public static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);
    public static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(1);

    /// <summary>What "soon" is at most.</summary>
    public static readonly TimeSpan SoonWithin = TimeSpan.FromSeconds(30);

    /// <summary>A suspended machine's timers stand still while its clock goes on: it is looked at this often.</summary>
    private static readonly TimeSpan Look = TimeSpan.FromMinutes(1);

    private int failures;

    /// <summary>When to ask next.</summary>
    public DateTimeOffset Due { get; private set; }

    /// <summary>How long to sleep before looking at the clock again; zero when it is time.</summary>
    public TimeSpan Pause
    {
        get
        {
            var left = Due - time.GetUtcNow();
            return left <= TimeSpan.Zero ? TimeSpan.Zero : left < Look ? left : Look;
        }
    }

    /// <summary>Ask at once.</summary>
    public void Now() => Due = time.GetUtcNow();

    /// <summary>Ask soon, not all at one instant: within half a minute, and sooner than it was to be.</summary>
    public void Soon()
    {
        var left = (Due - time.GetUtcNow()) / 2;
        if (left > TimeSpan.Zero) Due = time.GetUtcNow() + ((left < SoonWithin ? left : SoonWithin) * random.NextDouble());
    }

    /// <summary>A certificate came, or was kept.</summary>
    public void Obtained(Svid svid) => (failures, Due) = (0, svid.RenewAt(random));

    /// <summary>No certificate came: doubling pauses, each between half of it and all, so that a fleet does not come back at one instant.</summary>
    public TimeSpan Failed()
    {
        var grown = FirstPause * Math.Pow(2, Math.Min(failures++, 16));
        var pause = (grown < LongestPause ? grown : LongestPause) * (0.5 + (random.NextDouble() / 2));
        Due = time.GetUtcNow() + pause;
        return pause;
    }
}
