using System.Globalization;
using System.Text;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Http.Upstream;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Http;

/// <summary>
/// The ONE place that answers instead of an upstream: status, flag and a text that says what happened, where the rule was written, and what to
/// look at. gRPC clients get it as a status in a response without a body.
/// </summary>
internal static class Refusal
{
    /// <summary>Answers, or ends a response that has begun already so that the client cannot take it for whole.</summary>
    public static async ValueTask AnswerAsync(Exchange x, CallResult result)
    {
        var row = Failures.Of(result.Failure);
        x.Facts.Failure = result.Failure;
        x.Facts.FailureDetail = result.Detail;
        if (x.Response.HasStarted || row.Status == 0)
        {
            if (x.Response.HasStarted) x.Facts.Status = x.Response.StatusCode;
            x.ResetClient(result.Failure == Failure.ClientGone ? 0x8 : 0x2); // CANCEL, INTERNAL_ERROR
            return;
        }

        var status = result.Failure == Failure.NoCluster && x.Facts.Route is { } route ? route.ClusterNotFoundStatus : row.Status;
        var text = Describe(x.Facts, result);
        var headers = x.Response.Headers;
        headers.Clear();
        headers["x-mesh-failure"] = row.Flag;
        headers["x-request-id"] = x.Facts.RequestId.Length > 0 && FieldRules.IsValue(x.Facts.RequestId) ? x.Facts.RequestId : default;
        if (x.Facts.Direction == Direction.Inbound && result.NothingProcessed) headers[FieldRules.Untouched] = "1";
        if (x.TellsDenial && x.Facts.DeniedBy.Length > 0 && FieldRules.IsValue(x.Facts.DeniedBy)) headers["x-mesh-denied-by"] = x.Facts.DeniedBy;
        if (result.Failure == Failure.BadRequest) x.CloseAfterwards();
        if (x.Facts.Grpc) AnswerGrpc(x, row.GrpcStatus, text);
        else await AnswerTextAsync(x, status, text);
    }

    /// <summary>A direct response of a route.</summary>
    public static ValueTask AnswerDirectlyAsync(Exchange x, int status, string body) => AnswerTextAsync(x, status, body);

    private static async ValueTask AnswerTextAsync(Exchange x, int status, string text)
    {
        x.Response.StatusCode = x.Facts.Status = status;
        if (status is 204 or 304) return;
        var bytes = Encoding.UTF8.GetBytes(text);
        x.Response.Headers.ContentType = "text/plain; charset=utf-8";
        x.Response.Headers.ContentLength = bytes.Length;
        if (x.Facts.Method == "HEAD") return;
        x.Facts.ResponseBytes = bytes.Length;
        await x.ResponseBody.WriteAsync(bytes);
    }

    private static void AnswerGrpc(Exchange x, int grpcStatus, string text)
    {
        x.Response.StatusCode = x.Facts.Status = 200;
        x.Facts.GrpcStatus = grpcStatus;
        var headers = x.Response.Headers;
        headers.ContentType = "application/grpc";
        headers["grpc-status"] = grpcStatus.ToString(CultureInfo.InvariantCulture);
        headers["grpc-message"] = GrpcMessage(text.TrimEnd('\n'));
        if (!x.Http2) headers.ContentLength = 0;
    }

    /// <summary>What happened, in words.</summary>
    public static string Describe(RequestFacts f, in CallResult result)
    {
        var row = Failures.Of(result.Failure);
        var text = new StringBuilder(256);
        text.Append("mesh: ").Append(result.Detail.Length > 0 ? result.Detail : row.Detail.Replace('_', ' ')).Append('\n');
        text.Append("flag: ").Append(row.Flag).Append(" (").Append(row.Detail).Append(")\n");
        if (f.Route is { } route) Line(text, "route", route.Name, route.Source);
        if (f.Cluster is { } cluster) Line(text, "cluster", cluster.Name, cluster.Source);
        if (f.Endpoint is { } endpoint) Line(text, "endpoint", endpoint.Authority, endpoint.Peer.Workload);
        if (row.Hint.Length > 0) text.Append("hint: ").Append(row.Hint).Append('\n');
        return text.ToString();
    }

    private static void Line(StringBuilder text, string what, string name, string source)
    {
        text.Append(what).Append(": ").Append(name);
        if (source.Length > 0) text.Append(" (").Append(source).Append(')');
        text.Append('\n');
    }

    /// <summary>Percent-encodes what gRPC does not allow in grpc-message.</summary>
    private static string GrpcMessage(string text)
    {
        var encoded = new StringBuilder(text.Length + 16);
        foreach (var b in Encoding.UTF8.GetBytes(text))
        {
            if (b is >= 0x20 and <= 0x7e and not (byte)'%') encoded.Append((char)b);
            else encoded.Append('%').Append(b.ToString("X2", CultureInfo.InvariantCulture));
        }

        return encoded.ToString();
    }
}
