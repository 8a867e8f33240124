using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Telemetry;
using Mesh.Api.V1;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// The differences of all traffic series since the last report that was delivered, added up by edge. A report that is not committed
/// is contained in the next one: while the control plane is away nothing is lost, and nothing piles up. Used by one loop.
/// </summary>
internal sealed class EdgeDeltas(TrafficSeries traffic, string nodeId)
{
    private readonly Dictionary<RequestSeries, RequestMark> requestMarks = [];
    private readonly Dictionary<TcpSeries, TcpMark> tcpMarks = [];

    /// <summary>What happened since the last commit; edges without traffic are left out.</summary>
    public EdgeReport Collect(TimeSpan interval)
    {
        traffic.Refresh();
        var edges = new Dictionary<EdgeKey, Edge>();
        foreach (var series in traffic.Requests.All) Add(edges, series);
        foreach (var series in traffic.Tcp.All) Add(edges, series);
        var report = new EdgeReport { NodeId = nodeId, Interval = Duration.FromTimeSpan(interval) };
        report.Edges.Add(edges.Values);
        return report;
    }

    /// <summary>The last collected report was delivered.</summary>
    public void Commit()
    {
        foreach (var mark in requestMarks.Values) mark.Commit();
        foreach (var mark in tcpMarks.Values) mark.Commit();
        if (requestMarks.Count > traffic.Requests.All.Count) Forget(requestMarks, traffic.Requests.All);
        if (tcpMarks.Count > traffic.Tcp.All.Count) Forget(tcpMarks, traffic.Tcp.All);
    }

    private static void Forget<TSeries, TMark>(Dictionary<TSeries, TMark> marks, IReadOnlyList<TSeries> alive)
        where TSeries : notnull
    {
        var known = alive.ToHashSet();
        foreach (var gone in marks.Keys.Where(series => !known.Contains(series)).ToList()) marks.Remove(gone);
    }

    private void Add(Dictionary<EdgeKey, Edge> edges, RequestSeries series)
    {
        if (!requestMarks.TryGetValue(series, out var mark)) requestMarks.Add(series, mark = new RequestMark());
        mark.Read(series);
        var count = mark.Next.Sum() - mark.Sent.Sum();
        if (count == 0) return;
        var edge = EdgeOf(edges, series.Key);
        edge.Requests += (ulong)count;
        if (IsFailure(series.Key)) edge.Failures += (ulong)count;
        edge.RequestBytes += (ulong)(mark.NextTotals.FromClient - mark.SentTotals.FromClient);
        edge.ResponseBytes += (ulong)(mark.NextTotals.ToClient - mark.SentTotals.ToClient);
        edge.LatencySumMs += (mark.NextTotals.Ticks - mark.SentTotals.Ticks) / traffic.Bounds.TicksPerMillisecond;
        for (var i = 0; i < mark.Next.Length; i++)
        {
            var delta = mark.Next[i] - mark.Sent[i];
            if (delta == 0) continue;
            while (edge.LatencyBuckets.Count <= i) edge.LatencyBuckets.Add(0);
            edge.LatencyBuckets[i] += (ulong)delta;
        }
    }

    private void Add(Dictionary<EdgeKey, Edge> edges, TcpSeries series)
    {
        if (!tcpMarks.TryGetValue(series, out var mark)) tcpMarks.Add(series, mark = new TcpMark());
        mark.Next = (series.Opened, series.Closed, series.Sent, series.Received);
        if (mark.Next == mark.Sent) return;
        var edge = EdgeOf(edges, series.Key);
        edge.TcpOpened += (ulong)(mark.Next.Opened - mark.Sent.Opened);
        edge.TcpClosed += (ulong)(mark.Next.Closed - mark.Sent.Closed);
        edge.TcpSentBytes += (ulong)(mark.Next.Sent - mark.Sent.Sent);
        edge.TcpReceivedBytes += (ulong)(mark.Next.Received - mark.Sent.Received);
    }

    private static Edge EdgeOf(Dictionary<EdgeKey, Edge> edges, SeriesKey key)
    {
        var destination = key.Destination;
        // Refused before an endpoint was chosen: the service that was asked for is all that is known of the other side.
        if (key.Direction == Direction.Outbound && ReferenceEquals(destination, PeerLabels.Unknown))
            destination = destination with { Service = key.Service.Name, Namespace = key.Service.Namespace };
        var name = new EdgeKey(key.Source, destination, key.Direction, key.Protocol, key.Security == ConnectionSecurity.MutualTls);
        if (edges.TryGetValue(name, out var edge)) return edge;
        edge = new Edge
        {
            Source = Workload(key.Source),
            Destination = Workload(destination),
            Reporter = key.Direction == Direction.Outbound ? "source" : "destination",
            Protocol = SeriesLabels.Protocol(key.Protocol),
            Secured = name.Secured,
        };
        edges.Add(name, edge);
        return edge;
    }

    /// <summary>
    /// No answer, a 5xx, or a gRPC status that is the server's fault by OpenTelemetry's list; what the caller got wrong is no failure
    /// of the edge.
    /// </summary>
    private static bool IsFailure(SeriesKey key) =>
        key.IsOther ? key.Status is 0 or >= 5 : key.Status is 0 or >= 500 || key.GrpcStatus is 2 or 4 or 12 or 13 or 14 or 15;

    private static Edge.Types.Workload Workload(PeerLabels peer) =>
        new() { Workload_ = peer.Workload, Namespace = peer.Namespace, Service = peer.Service, Version = peer.Version, Identity = peer.Principal == "unknown" ? "" : peer.Principal };

    private readonly record struct EdgeKey(PeerLabels Source, PeerLabels Destination, Direction Direction, SeriesProtocol Protocol, bool Secured);

    private sealed class RequestMark
    {
        public long[] Sent { get; private set; } = new long[LatencyBuckets.Count];
        public long[] Next { get; private set; } = new long[LatencyBuckets.Count];
        public (long FromClient, long ToClient, long Ticks) SentTotals { get; private set; }
        public (long FromClient, long ToClient, long Ticks) NextTotals { get; private set; }

        public void Read(RequestSeries series)
        {
            series.Latency.Read(Next);
            NextTotals = (series.RequestBytes.Sum, series.ResponseBytes.Sum, series.Latency.Sum);
        }

        public void Commit()
        {
            (Sent, Next) = (Next, Sent);
            SentTotals = NextTotals;
        }
    }

    private sealed class TcpMark
    {
        public (long Opened, long Closed, long Sent, long Received) Sent { get; private set; }
        public (long Opened, long Closed, long Sent, long Received) Next { get; set; }

        public void Commit() => Sent = Next;
    }
}
