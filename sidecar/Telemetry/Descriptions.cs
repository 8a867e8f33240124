namespace Mesh.Sidecar.Telemetry;

/// <summary>What each traffic metric means, in one line: shared by the instruments and the Prometheus text.</summary>
internal static class Descriptions
{
    public const string Requests = "Requests handled, by who called whom and how it ended.";
    public const string Duration = "Time from the first byte of a request to the last of its answer, in milliseconds.";
    public const string RequestBytes = "Size of request bodies.";
    public const string ResponseBytes = "Size of response bodies.";
    public const string TcpSent = "Bytes sent to clients on opaque TCP connections.";
    public const string TcpReceived = "Bytes received from clients on opaque TCP connections.";
    public const string TcpOpened = "Opaque TCP connections opened.";
    public const string TcpClosed = "Opaque TCP connections closed.";
    public const string Build = "Always 1; the label says which build this is.";
}
