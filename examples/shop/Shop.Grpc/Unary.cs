using System.Buffers.Binary;
using System.Net;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;

namespace Shop.Grpc;

/// <summary>
/// Unary gRPC in its smallest form: one length-prefixed message each way over HTTP/2. The services of the shop speak it as any gRPC
/// program does; that a mesh carries it is nothing they know of.
/// </summary>
public static class Unary
{
    private const int PrefixLength = 5;

    /// <summary>Calls a method and returns its reply; a status other than OK is an exception.</summary>
    public static async Task<TReply> CallAsync<TReply>(
        HttpClient client, string path, IMessage request, MessageParser<TReply> parser, CancellationToken cancellation)
        where TReply : IMessage<TReply>
    {
        using var message = new HttpRequestMessage(HttpMethod.Post, path)
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(Frame(request)),
        };
        message.Content.Headers.Add("content-type", "application/grpc");
        message.Headers.Add("te", "trailers");
        using var response = await client.SendAsync(message, cancellation);
        var body = await response.Content.ReadAsByteArrayAsync(cancellation);
        var status = Header(response, "grpc-status") ?? $"none, HTTP {(int)response.StatusCode}";
        if (status != "0" || body.Length < PrefixLength)
            throw new HttpRequestException($"{path}: grpc-status {status} {Header(response, "grpc-message")}");
        return parser.ParseFrom(body.AsSpan(PrefixLength));
    }

    /// <summary>Serves one call with a handler.</summary>
    public static async Task ServeAsync<TRequest>(HttpContext http, MessageParser<TRequest> parser, Func<TRequest, IMessage> handler)
        where TRequest : IMessage<TRequest>
    {
        using var body = new MemoryStream();
        await http.Request.Body.CopyToAsync(body, http.RequestAborted);
        var request = parser.ParseFrom(body.ToArray().AsSpan(PrefixLength));
        http.Response.ContentType = "application/grpc";
        await http.Response.Body.WriteAsync(Frame(handler(request)), http.RequestAborted);
        http.Response.AppendTrailer("grpc-status", "0");
    }

    private static byte[] Frame(IMessage message)
    {
        var frame = new byte[PrefixLength + message.CalculateSize()];
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(1), frame.Length - PrefixLength);
        message.WriteTo(frame.AsSpan(PrefixLength));
        return frame;
    }

    private static string? Header(HttpResponseMessage response, string name) =>
        response.TrailingHeaders.TryGetValues(name, out var trailer) || response.Headers.TryGetValues(name, out trailer) ? trailer.First() : null;
}
