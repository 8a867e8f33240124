using System.Runtime.CompilerServices;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Telemetry;

/// <summary>Wire protocol of a series.</summary>
internal enum SeriesProtocol : byte
{
    /// <summary>HTTP other than gRPC.</summary>
    Http,

    /// <summary>gRPC.</summary>
    Grpc,

    /// <summary>Opaque TCP.</summary>
    Tcp,
}

/// <summary>How the connection between two sidecars was protected.</summary>
public enum ConnectionSecurity : byte
{
    /// <summary>There was none, so nobody can say.</summary>
    Unknown,

    /// <summary>Plaintext.</summary>
    None,

    /// <summary>Mutual TLS.</summary>
    MutualTls,
}

/// <summary>
/// What tells one series from another. Default equality compares by value; <see cref="ByReference"/> is the fast one of the hot
/// path, which holds because labels are interned.
/// </summary>
internal readonly record struct SeriesKey(
    PeerLabels Source, PeerLabels Destination, ServiceLabels Service, Direction Direction, SeriesProtocol Protocol, Failure Failure,
    short Status, short GrpcStatus, ConnectionSecurity Security)
{
    /// <summary>What stands for everything beyond the budget of series.</summary>
    public static readonly PeerLabels Other = new("other", "other", "other", "other") { Principal = "other" };

    private static readonly ServiceLabels OtherService = new("other", "other", "other", 0);

    /// <summary>True for the series beyond the budget.</summary>
    public bool IsOther => ReferenceEquals(Source, Other);

    /// <summary>The key that stands for this one beyond the budget: few values, whatever comes.</summary>
    public SeriesKey Collapsed() =>
        new(Other, Other, OtherService, Direction, Protocol, Failure.None, (short)Math.Clamp(Status / 100, 0, 6), -1, ConnectionSecurity.Unknown);

    /// <summary>Compares labels by reference.</summary>
    internal sealed class ByReference : IEqualityComparer<SeriesKey>
    {
        public bool Equals(SeriesKey x, SeriesKey y) =>
            ReferenceEquals(x.Source, y.Source) && ReferenceEquals(x.Destination, y.Destination) && ReferenceEquals(x.Service, y.Service)
            && x.Direction == y.Direction && x.Protocol == y.Protocol && x.Failure == y.Failure && x.Status == y.Status
            && x.GrpcStatus == y.GrpcStatus && x.Security == y.Security;

        public int GetHashCode(SeriesKey key)
        {
            var labels = (RuntimeHelpers.GetHashCode(key.Source) * 31) + RuntimeHelpers.GetHashCode(key.Destination);
            var facts = ((int)key.Direction << 1) ^ ((int)key.Protocol << 2) ^ ((int)key.Failure << 4) ^ (key.Status << 9) ^ (key.GrpcStatus << 20) ^ ((int)key.Security << 26);
            return (labels * 31) + RuntimeHelpers.GetHashCode(key.Service) + (facts * 0x2545F491);
        }
    }
}
