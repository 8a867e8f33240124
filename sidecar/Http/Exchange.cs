using System.IO.Pipelines;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Http.Upstream;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Telemetry;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Mesh.Sidecar.Http;

/// <summary>
/// One request and its answer, seen from the client. Kestrel keeps it with the connection (HTTP/1) or stream (HTTP/2) and it is reused for
/// the next request there: one owner at a time, except <see cref="Stop"/>, which timers and the client's going away call from any thread.
/// </summary>
internal sealed class Exchange
{
    private IFeatureCollection features = null!;
    private IHttpRequestFeature request = null!;
    private IHttpResponseBodyFeature answer = null!;
    private IHttpRequestTrailersFeature? trailers;
    private IHttpRequestBodyDetectionFeature detection = null!;
    private readonly Lock gate = new();
    private object? running;
    private RuleFields? ruleFields;
    private volatile Failure stop;
    private long number;

    /// <summary>What telemetry gets to know.</summary>
    public RequestFacts Facts { get; } = new();

    /// <summary>Header fields for the upstream: end-to-end ones, ours added.</summary>
    public HeaderList Headers { get; } = new();

    /// <summary>Facts of the connection it came on.</summary>
    public ConnectionFacts Connection { get; private set; } = null!;

    /// <summary>Origin-form target for the upstream, byte for byte as the client sent it.</summary>
    public string Target { get; set; } = "";

    /// <summary>True when the target was an URL: the client takes us for a proxy.</summary>
    public bool AbsoluteForm { get; set; }

    /// <summary>Length of the request body; -1 when only its end tells.</summary>
    public long BodyLength { get; set; }

    /// <summary>True when the request states that its body is empty: that is passed on.</summary>
    public bool SaysEmptyBody { get; set; }

    /// <summary>True when the client waits for an interim response before it sends its body.</summary>
    public bool ExpectsContinue { get; set; }

    /// <summary>True when the client asks for a WebSocket.</summary>
    public bool WebSocket { get; set; }

    /// <summary>What another sidecar says of the caller, or null.</summary>
    public string? MeshSource { get; set; }

    /// <summary>How many sidecars have passed it on to unknown destinations.</summary>
    public int Hops { get; set; }

    /// <summary>True when x-forwarded-proto came with it.</summary>
    public bool HasForwardedProto { get; set; }

    /// <summary>True when a refusal by policy is to name the policy to the client.</summary>
    public bool TellsDenial { get; set; }

    /// <summary>Header fields as authorization rules see them.</summary>
    public RuleFields RuleFields => ruleFields ??= new RuleFields(this);

    /// <summary>How long nothing may move; zero is for ever.</summary>
    public TimeSpan IdleBound { get; set; }

    /// <summary>Bytes that moved so far, in both directions. Read by timers.</summary>
    public long Moved => Facts.ResponseBytes + Facts.RequestBytes + Body.Consumed;

    /// <summary>True over HTTP/2.</summary>
    public bool Http2 { get; private set; }

    /// <summary>The request's header fields as Kestrel read them.</summary>
    public IHeaderDictionary RequestHeaders => request.Headers;

    /// <summary>The target as it was sent.</summary>
    public string RawTarget => request.RawTarget;

    /// <summary>Kestrel's response.</summary>
    public IHttpResponseFeature Response { get; private set; } = null!;

    /// <summary>Where the response body goes.</summary>
    public PipeWriter ResponseBody => answer.Writer;

    /// <summary>Fixes the head of the response; it is sent with the first bytes of the body, or when those are late.</summary>
    public Task StartResponseAsync() => answer.StartAsync();

    /// <summary>The request's body.</summary>
    public RequestBody Body { get; } = new();

    /// <summary>Life of the request at the client's side.</summary>
    public IHttpRequestLifetimeFeature Lifetime { get; private set; } = null!;

    /// <summary>Trailers of the response; null on HTTP/1, which cannot carry them here.</summary>
    public IHeaderDictionary? ResponseTrailers => Http2 ? features.Get<IHttpResponseTrailersFeature>()?.Trailers : null;

    /// <summary>Trailers of the request once its body was read; null when none came.</summary>
    public IHeaderDictionary? RequestTrailers =>
        trailers is { Available: true, Trailers.Count: > 0 } ? trailers.Trailers : null;

    /// <summary>Turns the connection into a tunnel.</summary>
    public IHttpUpgradeFeature? Upgrade => features.Get<IHttpUpgradeFeature>();

    /// <summary>Why the request must end early; <see cref="Failure.None"/> while it may go on. The first reason stays.</summary>
    public Failure Stopped => stop;

    /// <summary>Counts requests served here: a timer of an earlier request must not stop this one.</summary>
    public long Number => Volatile.Read(ref number);

    /// <summary>Takes over a new request.</summary>
    public void Begin(IFeatureCollection of, long now)
    {
        // Kestrel's one object is all of these, for every request of a connection or stream: they are looked up at the first.
        if (!ReferenceEquals(features, of)) Learn(of);
        Http2 = request.Protocol == "HTTP/2";
        Headers.Clear();
        Target = "";
        MeshSource = null;
        Hops = 0;
        HasForwardedProto = TellsDenial = AbsoluteForm = SaysEmptyBody = ExpectsContinue = WebSocket = false;
        BodyLength = 0;
        Body.Begin(detection.CanHaveBody ? of.Get<IRequestBodyPipeFeature>()!.Reader : null);
        if (Body.Exists) BodyLength = -1;
        lock (gate)
        {
            stop = Failure.None;
            number++;
        }

        Describe(now);
    }

    /// <summary>
    /// Ends the request early, from any thread: the try that runs is aborted, and so is an answer that has begun
    /// (the client must see that it is not whole).
    /// </summary>
    public void Stop(Failure reason, long of)
    {
        lock (gate)
        {
            if (of != number || stop != Failure.None) return;
            stop = reason;
            // Under the lock: a connection that this request has given back may serve another one in the next moment.
            if (running is IUpstreamCall call) call.Abort();
            else if (running is CancellationTokenSource connecting) connecting.Cancel();
            if (reason != Failure.ClientGone && Response.HasStarted) Lifetime.Abort();
        }
    }

    /// <summary>The same, for a caller that cannot outlive the request.</summary>
    public void StopNow(Failure reason) => Stop(reason, Number);

    /// <summary>
    /// Says what runs (a call, or the cancellation of connecting), so that <see cref="Stop"/> finds it, and null before it is given back;
    /// false when the request was stopped already.
    /// </summary>
    public bool Running(object? now)
    {
        lock (gate)
        {
            running = now;
            return stop == Failure.None;
        }
    }

    /// <summary>Ends the stream (HTTP/2) or the connection (HTTP/1) so that the client cannot take what it got for whole.</summary>
    public void ResetClient(int http2Code)
    {
        if (features.Get<IHttpResetFeature>() is { } reset) reset.Reset(http2Code);
        else Lifetime.Abort();
    }

    /// <summary>Lets go of Kestrel's objects.</summary>
    public void End()
    {
        lock (gate)
        {
            number++;
            running = null;
        }

        Body.End();
    }

    /// <summary>Closes the client's connection after this answer.</summary>
    public void CloseAfterwards()
    {
        if (!Http2) Response.Headers.Connection = "close";
    }

    private void Learn(IFeatureCollection of)
    {
        features = of;
        request = of.Get<IHttpRequestFeature>()!;
        Response = of.Get<IHttpResponseFeature>()!;
        answer = of.Get<IHttpResponseBodyFeature>()!;
        trailers = of.Get<IHttpRequestTrailersFeature>();
        detection = of.Get<IHttpRequestBodyDetectionFeature>()!;
        Lifetime = of.Get<IHttpRequestLifetimeFeature>()!;
        Connection = of.Get<ConnectionFacts>()!;
    }

    private void Describe(long now)
    {
        var f = Facts;
        f.Direction = Connection.Listener.Direction;
        f.Started = now;
        f.Ended = f.UpstreamTicks = f.RequestBytes = f.ResponseBytes = 0;
        f.Source = f.Destination = Balancing.PeerLabels.Unknown;
        f.Security = ConnectionSecurity.Unknown;
        f.Service = ServiceLabels.None;
        f.Route = null;
        f.Cluster = null;
        f.Endpoint = null;
        f.Grpc = false;
        f.Status = f.Attempts = 0;
        f.GrpcStatus = -1;
        f.Failure = Failure.None;
        f.FailureDetail = f.DeniedBy = f.RequestId = f.TraceParent = f.UserAgent = f.ForwardedFor = f.Authority = "";
        f.Method = request.Method;
        f.Path = request.RawTarget;
        f.Protocol = request.Protocol;
        f.DownstreamRemote = Connection.Remote;
        f.DownstreamLocal = Connection.Local;
        f.Span = null;
    }
}
