using System.Threading.Channels;
using Mesh.Api.Logging;

namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// Counts what policies decide and writes it to the log: every audit, and of the rest as many lines a second as a person could read. Events
/// wait in a bounded queue for one writer, so no request waits for the log; a full queue drops and counts. Thread safe; its owner disposes
/// it, and what waits is written first.
/// </summary>
internal sealed class AuthorizationLog : IAsyncDisposable
{
    private const int MostWaiting = 4096;
    private const int MostLinesASecond = 10;

    private readonly SidecarMetrics metrics;
    private readonly Log log;
    private readonly RateLimit denials;
    private readonly RateLimit trials;
    private readonly Channel<Line> waiting = Channel.CreateBounded<Line>(new BoundedChannelOptions(MostWaiting) { SingleReader = true });
    private readonly Task writer;

    /// <summary>A log that writes until it is disposed.</summary>
    public AuthorizationLog(SidecarMetrics metrics, TimeProvider time, Log log)
    {
        this.metrics = metrics;
        this.log = log;
        denials = new RateLimit(MostLinesASecond, time);
        trials = new RateLimit(MostLinesASecond, time);
        writer = Task.Run(WriteAsync);
    }

    /// <summary>Counts an event and logs it.</summary>
    public void Add(AuthorizationEvent what)
    {
        var policy = what.Policy.Length == 0 ? "none" : what.Policy;
        metrics.Authorization(what.Outcome).Add(what.Listener, policy);
        var silenced = 0L;
        var limit = what.Outcome switch { AuthorizationOutcome.Denied => denials, AuthorizationOutcome.WouldDeny => trials, _ => null };
        if (limit is not null && !limit.TryTake(out silenced)) return;
        if (!waiting.Writer.TryWrite(new Line(what, silenced))) metrics.AuthorizationLogDropped.Add();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        waiting.Writer.TryComplete();
        await writer;
    }

    private async Task WriteAsync()
    {
        await foreach (var (what, silenced) in waiting.Reader.ReadAllAsync()) Write(what, silenced);
    }

    private void Write(AuthorizationEvent e, long silenced)
    {
        List<(string, object?)> fields = [("policy", e.Policy.Length == 0 ? "none" : e.Policy)];
        if (e.Source.Length > 0) fields.Add(("at", e.Source));
        fields.Add(("listener", e.Listener));
        fields.Add(("filter", e.Filter));
        fields.Add(("peer", e.Principal.Length == 0 ? "unauthenticated" : e.Principal));
        fields.Add(("remote", e.Remote));
        if (e.Method.Length > 0) fields.AddRange([("method", e.Method), ("path", e.Target), ("host", e.Authority)]);
        if (e.RequestId.Length > 0) fields.Add(("request", e.RequestId));
        if (e.Outcome == AuthorizationOutcome.Audited) fields.Add(("decision", e.Refused ? "denied" : "allowed"));
        if (e.Ambiguous) fields.Add(("note", "an ALLOW policy matches another reading of the request: parameters or empty segments in its path, or a repeated header field"));
        if (silenced > 0) fields.Add(("more", $"{silenced} not logged"));
        log.Write(e.Outcome == AuthorizationOutcome.Denied ? Level.Warn : Level.Info, MessageOf(e), [.. fields]);
    }

    private static string MessageOf(AuthorizationEvent e) => e.Outcome switch
    {
        AuthorizationOutcome.Denied when e.Policy.Length == 0 => "denied: no ALLOW policy matches",
        AuthorizationOutcome.Denied => "denied by policy",
        AuthorizationOutcome.WouldDeny => "dry run: would be denied",
        _ => "audit",
    };

    private sealed record Line(AuthorizationEvent What, long Silenced);
}
