using System.Globalization;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Telemetry;

/// <summary>Istio's labels of a series: the one place that names them. Pure.</summary>
internal static class SeriesLabels
{
    /// <summary>Name of the cluster in labels: there is one until the mesh spans several.</summary>
    private const string ClusterName = "default";

    /// <summary>Labels in Istio's order.</summary>
    public static (string Name, string Value)[] Of(SeriesKey key)
    {
        var tcp = key.Protocol == SeriesProtocol.Tcp;
        List<(string, string)> labels =
        [
            ("reporter", key.Direction == Direction.Outbound ? "source" : "destination"),
            ("source_workload", key.Source.Workload),
            ("source_workload_namespace", key.Source.Namespace),
            ("source_principal", key.Source.Principal),
            ("source_app", key.Source.Service),
            ("source_version", key.Source.Version),
            ("source_canonical_service", key.Source.Service),
            ("source_canonical_revision", Revision(key.Source.Version)),
            ("source_cluster", ClusterName),
            ("destination_workload", key.Destination.Workload),
            ("destination_workload_namespace", key.Destination.Namespace),
            ("destination_principal", key.Destination.Principal),
            ("destination_app", key.Destination.Service),
            ("destination_version", key.Destination.Version),
            ("destination_canonical_service", key.Destination.Service),
            ("destination_canonical_revision", Revision(key.Destination.Version)),
            ("destination_cluster", ClusterName),
            ("destination_service", key.Service.Host),
            ("destination_service_name", key.Service.Name),
            ("destination_service_namespace", key.Service.Namespace),
            ("request_protocol", Protocol(key.Protocol)),
        ];
        if (!tcp) labels.Add(("response_code", Code(key)));
        if (!tcp) labels.Add(("grpc_response_status", key.GrpcStatus < 0 ? "" : key.GrpcStatus.ToString(CultureInfo.InvariantCulture)));
        labels.Add(("response_flags", Failures.Of(key.Failure).Flag));
        labels.Add(("connection_security_policy", Security(key.Security)));
        return [.. labels];
    }

    /// <summary>http, grpc or tcp.</summary>
    public static string Protocol(SeriesProtocol protocol) => protocol switch
    {
        SeriesProtocol.Grpc => "grpc",
        SeriesProtocol.Tcp => "tcp",
        _ => "http",
    };

    private static string Security(ConnectionSecurity security) => security switch
    {
        ConnectionSecurity.MutualTls => "mutual_tls",
        ConnectionSecurity.None => "none",
        _ => "unknown",
    };

    private static string Code(SeriesKey key) =>
        key.IsOther ? $"{key.Status}xx" : key.Status.ToString(CultureInfo.InvariantCulture);

    private static string Revision(string version) => version is "" or "unknown" ? "latest" : version;
}
