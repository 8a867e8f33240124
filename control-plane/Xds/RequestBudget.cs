namespace Mesh.ControlPlane.Xds;

/// <summary>
/// How many requests a client may send of its own accord on one stream: a burst for its start, then a steady rate. Answers to our
/// responses are not counted, we bound those. Not thread safe; one stream's reader uses it.
/// </summary>
internal sealed class RequestBudget(TimeProvider time)
{
    /// <summary>A gRPC client with many channels asks for one name after another; each makes a request.</summary>
    public const int Burst = 4000;

    /// <summary>Requests a second that may go on for ever.</summary>
    public const int Rate = 100;

    private double left = Burst;
    private long last = time.GetTimestamp();

    /// <summary>Takes one; false when the client floods.</summary>
    public bool TryTake()
    {
        var now = time.GetTimestamp();
        left = Math.Min(Burst, left + (time.GetElapsedTime(last, now).TotalSeconds * Rate));
        last = now;
        if (left < 1) return false;
        left--;
        return true;
    }
}
