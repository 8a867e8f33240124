using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Http;

/// <summary>The bound of a whole request, set by a rule. Owned by the request; the timer runs on any thread.</summary>
internal sealed class RequestBound : IDisposable
{
    private readonly ITimer timer;
    private readonly Exchange exchange;
    private readonly long number;

    /// <summary>Starts the clock.</summary>
    public RequestBound(Exchange exchange, TimeSpan bound, TimeProvider time)
    {
        this.exchange = exchange;
        number = exchange.Number;
        timer = time.CreateTimer(static state => ((RequestBound)state!).Fire(), this, bound, Timeout.InfiniteTimeSpan);
    }

    /// <inheritdoc/>
    public void Dispose() => timer.Dispose();

    private void Fire() => exchange.Stop(Failure.RequestTimeout, number);
}
