using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Http;

/// <summary>
/// Ends a request on which nothing moved for a time that a rule sets. It looks four times within that time, so that moving bytes costs nothing.
/// Owned by the request; the timer runs on any thread.
/// </summary>
internal sealed class IdleBound : IDisposable
{
    private const int Looks = 4;
    private readonly ITimer timer;
    private readonly Exchange exchange;
    private readonly long number;
    private long moved;
    private int still;

    /// <summary>Starts to look.</summary>
    public IdleBound(Exchange exchange, TimeSpan bound, TimeProvider time)
    {
        this.exchange = exchange;
        number = exchange.Number;
        timer = time.CreateTimer(static state => ((IdleBound)state!).Look(), this, bound / Looks, bound / Looks);
    }

    /// <inheritdoc/>
    public void Dispose() => timer.Dispose();

    private void Look()
    {
        var now = exchange.Moved;
        still = now == moved ? still + 1 : 0;
        moved = now;
        if (still >= Looks) exchange.Stop(Failure.StreamIdle, number);
    }
}
