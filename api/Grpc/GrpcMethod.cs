using Google.Protobuf;

namespace Mesh.Api.Grpc;

/// <summary>
/// A method of a service, shared by both ends: its full name and how its messages are read. Which of the four kinds of
/// call it is shows in the functions it is called and served with. Immutable.
/// </summary>
public sealed class GrpcMethod<TRequest, TResponse>(
    string service, string name, MessageParser<TRequest> requestParser, MessageParser<TResponse> responseParser)
    where TRequest : class, IMessage<TRequest>
    where TResponse : class, IMessage<TResponse>
{
    /// <summary>The path of the method, as on the wire: <c>/package.Service/Method</c>.</summary>
    public string Path { get; } = $"/{service}/{name}";

    internal MessageParser<TRequest> RequestParser { get; } = requestParser;

    internal MessageParser<TResponse> ResponseParser { get; } = responseParser;
}
