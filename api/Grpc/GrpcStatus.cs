namespace Mesh.Api.Grpc;

/// <summary>How a call ended: a code and words for people. Immutable.</summary>
public sealed record GrpcStatus(GrpcStatusCode Code, string Message = "")
{
    /// <summary>Success.</summary>
    public static GrpcStatus Ok { get; } = new(GrpcStatusCode.Ok);

    /// <inheritdoc/>
    public override string ToString() => Message.Length == 0 ? Code.ToString() : $"{Code}: {Message}";
}
