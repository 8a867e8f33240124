namespace Mesh.Api.Grpc;

/// <summary>A call that ended with a status other than OK: thrown by clients, and by handlers to choose the status.</summary>
public sealed class GrpcException : Exception
{
    /// <summary>Makes one of a code and words for people.</summary>
    public GrpcException(GrpcStatusCode code, string message, Exception? inner = null)
        : this(new GrpcStatus(code, message), inner)
    {
    }

    /// <summary>Makes one of a status.</summary>
    public GrpcException(GrpcStatus status, Exception? inner = null)
        : base(status.ToString(), inner) => Status = status;

    /// <summary>How the call ended.</summary>
    public GrpcStatus Status { get; }

    /// <summary>The code of <see cref="Status"/>.</summary>
    public GrpcStatusCode Code => Status.Code;
}
