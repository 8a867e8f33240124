using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Headers;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// A call over the runtime's HTTP/2 client. One per try. Request and answer stream independently, as gRPC needs. The runtime sends a
/// request again by itself only when the server said that it processed nothing of it (GOAWAY, REFUSED_STREAM), which HTTP/2 guarantees.
/// </summary>
internal sealed class Http2Call(HttpMessageInvoker client, Endpoint endpoint, bool proven) : IUpstreamCall
{
    /// <summary>Tells the pool's connect callback which endpoint is meant.</summary>
    public static readonly HttpRequestOptionsKey<Endpoint> EndpointKey = new("mesh-endpoint");

    /// <summary>Tells the pool's connect callback which way the request goes.</summary>
    public static readonly HttpRequestOptionsKey<Direction> DirectionKey = new("mesh-direction");
    private const long Refused = 0x7; // REFUSED_STREAM
    private const int SmallBuffer = 4 * 1024;
    private const int LargestBuffer = 64 * 1024;

    // What the runtime's client gives out for an answer that ended with its head.
    private static readonly Stream NoBody = new HttpResponseMessage().Content.ReadAsStream();
    private static readonly UriCreationOptions AsWritten = new() { DangerousDisablePathAndQueryCanonicalization = true };
    private readonly CancellationTokenSource cancel = new();
    private HttpResponseMessage? response;
    private Http2RequestContent? content;
    private bool complete;

    /// <inheritdoc/>
    public int Status => (int)response!.StatusCode;

    /// <inheritdoc/>
    public string? Reason => null;

    /// <inheritdoc/>
    public HeaderList Headers { get; } = new();

    /// <inheritdoc/>
    public HeaderList Trailers { get; } = new();

    /// <inheritdoc/>
    public bool IsProven => proven;

    /// <inheritdoc/>
    public long BodyLength { get; private set; } = -1;

    /// <inheritdoc/>
    public bool IsHeadOnly { get; private set; }

    /// <inheritdoc/>
    public async ValueTask<CallResult> SendAsync(Exchange exchange)
    {
        if (exchange.Target == "*") return new CallResult(Failure.UpstreamProtocolError, "OPTIONS * cannot be sent over HTTP/2 here");
        try
        {
            response = await client.SendAsync(Request(exchange), cancel.Token);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException)
        {
            return Explain(e, exchange, "before it answered");
        }

        Copy(response.Headers.NonValidated, Headers);
        Copy(response.Content.Headers.NonValidated, Headers);
        if (Headers.Find("Content-Length") is { } said && HeaderTokens.TryLength(said, out var length)) BodyLength = length;
        IsHeadOnly = ReferenceEquals(response.Content.ReadAsStream(CancellationToken.None), NoBody);
        return CallResult.Ok;
    }

    /// <inheritdoc/>
    public async ValueTask<CallResult> CopyBodyAsync(PipeWriter to, Exchange exchange)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(SmallBuffer);
        try
        {
            var from = await response!.Content.ReadAsStreamAsync(cancel.Token);
            var unflushed = 0;
            var headWaits = true;
            while (true)
            {
                var read = from.ReadAsync(buffer, cancel.Token);
                if (((unflushed > 0 || headWaits) && !read.IsCompleted) || unflushed >= LargestBuffer)
                {
                    unflushed = 0;
                    headWaits = false;
                    var flushed = await to.FlushAsync();
                    if (flushed.IsCompleted || flushed.IsCanceled) exchange.StopNow(Failure.ClientGone);
                }

                // Always awaited, even when the client is gone: it may still write into the buffer.
                var count = await read;
                if (exchange.Stopped != Failure.None) return new CallResult(exchange.Stopped);
                if (count == 0) break;
                to.Append(buffer.AsSpan(0, count));
                exchange.Facts.ResponseBytes += count;
                unflushed += count;
                Fit(ref buffer, count);
            }

            if (unflushed > 0 && !headWaits) await to.FlushAsync();
            Copy(response.TrailingHeaders.NonValidated, Trailers);
            complete = true;
            return CallResult.Ok;
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException)
        {
            return Explain(e, exchange, "in the middle of the answer");
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <inheritdoc/>
    public ValueTask<CallResult> TunnelAsync(Stream client, Exchange exchange) =>
        new(new CallResult(Failure.UpstreamProtocolError, "101 over HTTP/2"));

    /// <inheritdoc/>
    public void Abort()
    {
        try
        {
            cancel.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // Over already.
        }
    }

    /// <inheritdoc/>
    public async ValueTask CloseAsync()
    {
        if (!complete) Abort();
        response?.Dispose();
        if (content is not null) await content.StopAsync();
        cancel.Dispose();
    }

    private static void Fit(ref byte[] buffer, int count)
    {
        if (count < buffer.Length || count >= LargestBuffer) return;
        ArrayPool<byte>.Shared.Return(buffer);
        buffer = ArrayPool<byte>.Shared.Rent(Math.Min(LargestBuffer, count * 4));
    }

    private static void Copy(HttpHeadersNonValidated from, HeaderList to)
    {
        foreach (var (name, values) in from)
        {
            foreach (var value in values) to.Add(name, value);
        }
    }

    private HttpRequestMessage Request(Exchange exchange)
    {
        var facts = exchange.Facts;
        var message = new HttpRequestMessage(HttpMethod.Parse(facts.Method), new Uri($"http://{endpoint.Authority}{exchange.Target}", AsWritten))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        message.Options.Set(EndpointKey, endpoint);
        message.Options.Set(DirectionKey, facts.Direction);
        message.Headers.Host = facts.Authority.Length > 0 ? facts.Authority : endpoint.Authority;
        if (exchange.Body.Exists) message.Content = content = new Http2RequestContent(exchange, cancel.Token);
        var fields = exchange.Headers;
        for (var i = 0; i < fields.Count; i++)
        {
            ref readonly var field = ref fields[i];
            if (message.Headers.TryAddWithoutValidation(field.Name, field.Value)) continue;
            (message.Content ??= new ByteArrayContent([])).Headers.TryAddWithoutValidation(field.Name, field.Value);
        }

        return message;
    }

    private CallResult Explain(Exception e, Exchange exchange, string when)
    {
        if (exchange.Stopped != Failure.None) return new CallResult(exchange.Stopped);
        if (content?.Client.Failure is { } client and not Failure.None) return new CallResult(client, content.Client.Detail);
        if (content is { AskedAgain: true }) return Explain(Refused, when);
        for (var cause = e; cause is not null; cause = cause.InnerException)
        {
            if (cause is DialException dial) return new CallResult(dial.Failure, dial.Message);
            if (cause is HttpProtocolException protocol) return Explain(protocol.ErrorCode, when);
        }

        return e is HttpRequestException { HttpRequestError: HttpRequestError.InvalidResponse or HttpRequestError.HttpProtocolError or HttpRequestError.ConfigurationLimitExceeded }
            ? new CallResult(Failure.UpstreamProtocolError, e.Message)
            : new CallResult(Failure.UpstreamClosed, $"the instance closed the connection {when}");
    }

    /// <summary>HTTP/2 error codes (RFC 9113 §7).</summary>
    private static CallResult Explain(long code, string when) => code switch
    {
        Refused => new CallResult(Failure.UpstreamReset, "the instance refused the stream", RetryOn.RefusedStream),
        0x1 or 0x3 or 0x5 or 0x6 or 0x9 or 0xd => new CallResult(Failure.UpstreamProtocolError, $"HTTP/2 error {code} {when}: does the instance speak HTTP/2 on this port?"),
        _ => new CallResult(Failure.UpstreamReset, $"the instance reset the stream with HTTP/2 error {code} {when}"),
    };
}
