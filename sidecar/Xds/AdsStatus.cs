namespace Mesh.Sidecar.Xds;

/// <summary>What the ADS client shows of itself. Written by its loop, read by anyone; plain atomics.</summary>
internal sealed class AdsStatus
{
    private long accepted;
    private long refused;
    private long connects;
    private volatile bool connected;
    private volatile bool fresh;
    private long heardAt;
    private volatile string trouble = "not connected to the control plane yet";

    /// <summary>Answers accepted.</summary>
    public long Accepted => Volatile.Read(ref accepted);

    /// <summary>Answers refused (NACK).</summary>
    public long Refused => Volatile.Read(ref refused);

    /// <summary>Streams opened.</summary>
    public long Connects => Volatile.Read(ref connects);

    /// <summary>True while a stream is open that has brought an answer.</summary>
    public bool Connected => connected;

    /// <summary>True once what serves has come from a control plane, not from what was kept: clusters and listeners have.</summary>
    public bool IsFresh => fresh;

    /// <summary>When a control plane was last known to stand behind what it said; null before the first answer.</summary>
    public DateTimeOffset? HeardAt => Volatile.Read(ref heardAt) is > 0 and var ticks ? new DateTimeOffset(ticks, TimeSpan.Zero) : null;

    /// <summary>Why there is no first configuration yet, or why the newest one is not served; empty when all is well.</summary>
    public string Trouble
    {
        get => trouble;
        set => trouble = value;
    }

    internal void CountAccepted() => Interlocked.Increment(ref accepted);

    internal void CountRefused() => Interlocked.Increment(ref refused);

    internal void Opened() => Interlocked.Increment(ref connects);

    internal void SetConnected(bool now) => connected = now;

    internal void SetFresh() => fresh = true;

    internal void Heard(DateTimeOffset now) => Volatile.Write(ref heardAt, now.UtcTicks);
}
