using System.IO.Pipelines;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// One try: a request on its way to one endpoint and the answer that comes back. Over our own HTTP/1.1 connections or over the runtime's
/// HTTP/2 ones. Owned by the attempt; only <see cref="Abort"/> may be called from other threads, at any time.
/// </summary>
internal interface IUpstreamCall
{
    /// <summary>Status of the answer.</summary>
    int Status { get; }

    /// <summary>Reason phrase when it is not the usual one, else null.</summary>
    string? Reason { get; }

    /// <summary>Header fields of the answer.</summary>
    HeaderList Headers { get; }

    /// <summary>Trailers of the answer, once its body was copied.</summary>
    HeaderList Trailers { get; }

    /// <summary>True when the endpoint proved the identity that was expected of it: only such a one speaks for the mesh.</summary>
    bool IsProven { get; }

    /// <summary>Length of the answer's body; -1 when only its end tells.</summary>
    long BodyLength { get; }

    /// <summary>True when the head of the answer is known to be all of it. What ended with its head has to do so on its way to the client, too: gRPC's
    /// clients take a status for one only there or in trailers.</summary>
    bool IsHeadOnly { get; }

    /// <summary>Sends the request and waits for the head of the final answer.</summary>
    ValueTask<CallResult> SendAsync(Exchange exchange);

    /// <summary>Copies the body of the answer to the client; the result says whether all of it came.</summary>
    ValueTask<CallResult> CopyBodyAsync(PipeWriter to, Exchange exchange);

    /// <summary>Carries bytes both ways after a 101, until both ends are done.</summary>
    ValueTask<CallResult> TunnelAsync(Stream client, Exchange exchange);

    /// <summary>Ends the try at once, from any thread.</summary>
    void Abort();

    /// <summary>Ends the try: the connection is kept for the next one when both sides are through with this one, else closed.</summary>
    ValueTask CloseAsync();
}

/// <summary>How a step of a try went.</summary>
/// <param name="Failure">What went wrong, or none.</param>
/// <param name="Detail">Words for it.</param>
/// <param name="Untouched">Retry conditions that hold because the endpoint provably processed nothing of the request.</param>
internal readonly record struct CallResult(Failure Failure, string Detail = "", RetryOn Untouched = RetryOn.None)
{
    /// <summary>All went well.</summary>
    public static CallResult Ok => default;

    /// <summary>True when the application behind the endpoint provably never saw the request.</summary>
    public bool NothingProcessed => Untouched != RetryOn.None || Failure is Failure.ConnectFailure or Failure.ConnectTimeout or Failure.TlsFailure or Failure.NoEndpoint;
}

/// <summary>
/// A call that was opened, or why there is none. Not a tuple: what is asynchronous with a tuple of references for its result cannot be compiled
/// ahead, and the first request would wait for that.
/// </summary>
/// <param name="Call">The call.</param>
/// <param name="Result">How it went so far.</param>
internal readonly record struct Opened(IUpstreamCall? Call, CallResult Result);
