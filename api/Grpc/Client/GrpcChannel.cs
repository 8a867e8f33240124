using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Google.Protobuf;

namespace Mesh.Api.Grpc;

/// <summary>
/// Connections to one gRPC server over HTTP/2, in plaintext or TLS, made when needed and shared by all calls. Safe from any thread; its
/// maker disposes it, which ends the calls that still run.
/// </summary>
public sealed class GrpcChannel : IDisposable
{
    private readonly HttpMessageInvoker _http;
    private readonly Uri _authority;

    /// <summary>Makes a channel to <c>host:port</c>, <c>http://host:port</c>, <c>https://host:port</c> or <c>unix:/path</c>. Nothing is connected yet.</summary>
    public GrpcChannel(string address, GrpcChannelOptions? options = null)
    {
        Options = options ?? new();
        var unixPath = address.StartsWith("unix:", StringComparison.Ordinal) ? address["unix:".Length..] : null;
        _authority = Authority(address, unixPath);
        Address = address;
        _http = new HttpMessageInvoker(MakeHandler(Options, unixPath));
    }

    /// <summary>The address it was made with.</summary>
    public string Address { get; }

    internal GrpcChannelOptions Options { get; }

    /// <summary>Calls a unary method.</summary>
    public async Task<TResponse> UnaryAsync<TRequest, TResponse>(
        GrpcMethod<TRequest, TResponse> method, TRequest request, CallOptions options, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>
        where TResponse : class, IMessage<TResponse>
    {
        await using var call = Start(method, new SingleMessageContent(request), options, cancellation);
        return await call.ReadOnlyAsync(cancellation);
    }

    /// <summary>Calls a server-streaming method; the call is made when the enumeration starts and ends with it.</summary>
    public async IAsyncEnumerable<TResponse> ServerStreamAsync<TRequest, TResponse>(
        GrpcMethod<TRequest, TResponse> method, TRequest request, CallOptions options, [EnumeratorCancellation] CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>
        where TResponse : class, IMessage<TResponse>
    {
        await using var call = Start(method, new SingleMessageContent(request), options, cancellation);
        while (await call.ReadAsync(cancellation) is { } message)
            yield return message;
    }

    /// <summary>
    /// Opens a call whose client streams: client-streaming (write, complete, <see cref="GrpcCall{TRequest,TResponse}.ReadOnlyAsync"/>)
    /// or bidirectional. <paramref name="cancellation"/> is the life of the whole call.
    /// </summary>
    public GrpcCall<TRequest, TResponse> Open<TRequest, TResponse>(
        GrpcMethod<TRequest, TResponse> method, CallOptions options, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>
        where TResponse : class, IMessage<TResponse>
        => Start(method, new MessageStreamContent(), options, cancellation);

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private GrpcCall<TRequest, TResponse> Start<TRequest, TResponse>(
        GrpcMethod<TRequest, TResponse> method, HttpContent content, CallOptions options, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>
        where TResponse : class, IMessage<TResponse>
    {
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(_authority, method.Path))
        {
            Version = System.Net.HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = content,
        };
        content.Headers.TryAddWithoutValidation("content-type", "application/grpc");
        request.Headers.TryAddWithoutValidation("te", "trailers");
        foreach (var (name, value) in options.Headers ?? [])
            request.Headers.TryAddWithoutValidation(name, value);
        if (options.Timeout is { } timeout)
            request.Headers.TryAddWithoutValidation("grpc-timeout", GrpcTimeout.Format(timeout));

        var lifetime = new CallLifetime(options.Timeout, Options.Time, cancellation);
        return new GrpcCall<TRequest, TResponse>(_http, request, method.ResponseParser, options.MaxReceiveMessageSize ?? Options.MaxReceiveMessageSize, lifetime);
    }

    private static Uri Authority(string address, string? unixPath)
    {
        if (unixPath is not null)
            return new Uri("http://localhost/");
        var text = address.Contains("://", StringComparison.Ordinal) ? address : "http://" + address;
        if (!Uri.TryCreate(text, UriKind.Absolute, out var uri) || (uri.Scheme != Uri.UriSchemeHttp && uri.Scheme != Uri.UriSchemeHttps) || uri.Host.Length == 0)
            throw new ArgumentException($"'{address}' is no gRPC address: expected host:port, http://host:port, https://host:port or unix:/path", nameof(address));
        return uri;
    }

    private static SocketsHttpHandler MakeHandler(GrpcChannelOptions options, string? unixPath)
    {
        var handler = new SocketsHttpHandler
        {
            // What carries the mesh must not be sent through the mesh: HTTP_PROXY is for applications.
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            ActivityHeadersPropagator = DistributedContextPropagator.CreateNoOutputPropagator(),
            EnableMultipleHttp2Connections = true,
            ConnectTimeout = options.ConnectTimeout,
            KeepAlivePingDelay = options.KeepAlivePingDelay,
            KeepAlivePingTimeout = options.KeepAlivePingTimeout,
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
            PooledConnectionIdleTimeout = TimeSpan.FromMinutes(5),
        };
        if (unixPath is not null)
            handler.ConnectCallback = (_, cancellation) => ConnectUnixAsync(unixPath, cancellation);
        else if (options.Tls is { } tls)
            handler.ConnectCallback = (context, cancellation) => TlsConnection.ConnectAsync(context, tls, options, cancellation);
        return handler;
    }

    private static async ValueTask<Stream> ConnectUnixAsync(string path, CancellationToken cancellation)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellation);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
