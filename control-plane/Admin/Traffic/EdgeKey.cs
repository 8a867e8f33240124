using Mesh.Api.Operators;
using Mesh.Api.V1;

namespace Mesh.ControlPlane.Admin.Traffic;

/// <summary>What makes two reports be about the same traffic. Immutable, compared by value.</summary>
internal sealed record EdgeKey(EdgeEnd Source, EdgeEnd Destination, string Protocol, bool Secured, bool BySource)
{
    /// <summary>All traffic beyond the bound on edges.</summary>
    public static EdgeKey Other(bool bySource) => new(new EdgeEnd("other", "", "", ""), new EdgeEnd("other", "", "", ""), "", false, bySource);

    private const int LongestName = 253;
    private const int LongestIdentity = 2048;

    /// <summary>True when no sidecar carries the source, so that only the destination can report.</summary>
    public bool SourceIsUnknown => Source.Workload is "" or "unknown";

    /// <summary>The key of a reported edge; names cut to what a name may be.</summary>
    public static EdgeKey Of(Edge edge) =>
        new(End(edge.Source), End(edge.Destination), Cut(edge.Protocol), edge.Secured, edge.Reporter == "source");

    private static EdgeEnd End(Edge.Types.Workload? end) => end is null
        ? new EdgeEnd("", "", "", "")
        : new EdgeEnd(Cut(end.Workload_), Cut(end.Namespace), Cut(end.Service), Cut(end.Version)) { Identity = Cut(end.Identity, LongestIdentity) };

    private static string Cut(string name, int most = LongestName) => name.Length <= most ? name : name[..most];
}
