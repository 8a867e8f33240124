namespace Mesh.Sidecar.Xds;

/// <summary>What the ADS client shows of itself. Written by its loop, read by anyone; plain atomics.</summary>
internal sealed class AdsStatus
{
    private long accepted;
    private long refused;
    private long connects;
    private volatile bool connected;
    private volatile bool fresh;
    private volatile bool confirms;
    private long confirmedAt;
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

    /// <summary>True while a stream is open that has brought clusters and listeners: a control plane stands behind all that serves. (One that has not read its registry yet says less.)</summary>
    public bool Confirms => confirms;

    /// <summary>When a control plane was last heard that stood behind what serves; null before the first.</summary>
    public DateTimeOffset? ConfirmedAt => Volatile.Read(ref confirmedAt) is > 0 and var ticks ? new DateTimeOffset(ticks, TimeSpan.Zero) : null;

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

    internal void SetConfirms(bool now) => confirms = now;

    internal void Confirm(DateTimeOffset now) => Volatile.Write(ref confirmedAt, now.UtcTicks);
}
