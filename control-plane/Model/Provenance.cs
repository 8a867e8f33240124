namespace Mesh.ControlPlane.Model;

/// <summary>
/// Where a piece of configuration came from: the answer to "why did this request go there?". Immutable.
/// </summary>
/// <param name="Kind">Kind of the document or record, such as <c>HTTPRoute</c>, <c>Service</c>, <c>ConsulService</c>, <c>Workload</c>.</param>
/// <param name="Namespace">Namespace of the document.</param>
/// <param name="Name">Name of the document.</param>
/// <param name="Location">A line somebody wrote, <c>rules/shop.yaml:12</c>, or a key somebody can look up, <c>consul:web</c>.</param>
/// <param name="Rule">Index of the rule inside the document, counted from 0; null when the whole document is meant.</param>
public sealed record Provenance(string Kind, string Namespace, string Name, string Location, int? Rule = null)
{
    /// <summary>One line for logs and error texts.</summary>
    public override string ToString() =>
        Rule is { } rule ? $"{Kind} {Namespace}/{Name} rule {rule} ({Location})" : $"{Kind} {Namespace}/{Name} ({Location})";
}
