using System.Collections.Immutable;
using System.Globalization;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules.Documents;

namespace Mesh.ControlPlane.Rules.Kubernetes;

/// <summary>The metadata every Kubernetes object has. Immutable.</summary>
/// <param name="Name">Name; empty when it is missing or wrong, which has been reported.</param>
/// <param name="Namespace">Namespace.</param>
/// <param name="Labels">Labels.</param>
/// <param name="Created">Creation time, where it is known.</param>
/// <param name="Leaving">True when the object is being deleted.</param>
internal sealed record ObjectMeta(string Name, string Namespace, ImmutableSortedDictionary<string, string> Labels, DateTimeOffset? Created, bool Leaving)
{
    /// <summary>Namespace and name.</summary>
    public ServiceName FullName => new(Namespace, Name);

    /// <summary>Annotations.</summary>
    public ImmutableSortedDictionary<string, string> Annotations { get; init; } = ImmutableSortedDictionary<string, string>.Empty;

    /// <summary>Reads <c>metadata</c> of a document.</summary>
    /// <param name="document">The document.</param>
    /// <param name="nameIsLabel">True where the name must be a DNS label (Service), false where it may have dots.</param>
    public static ObjectMeta Read(Fields document, bool nameIsLabel)
    {
        if (document.Required("metadata", "it names the document") is not { } fields)
            return new ObjectMeta("", ServiceName.DefaultNamespace, ImmutableSortedDictionary<string, string>.Empty, null, false);
        fields.Require("name", "every document has one");
        var name = nameIsLabel ? fields.Label("name") : fields.Subdomain("name");
        var meta = new ObjectMeta(
            name ?? "",
            fields.Label("namespace") ?? ServiceName.DefaultNamespace,
            fields.Map("labels") ?? ImmutableSortedDictionary<string, string>.Empty,
            Time(fields, "creationTimestamp"),
            fields.Has("deletionTimestamp"))
        {
            Annotations = fields.Map("annotations") ?? ImmutableSortedDictionary<string, string>.Empty,
        };
        fields.Done("uid", "resourceVersion", "generation", "managedFields", "ownerReferences", "finalizers", "generateName",
            "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink");
        return meta;
    }

    private static DateTimeOffset? Time(Fields fields, string name)
    {
        if (fields.Text(name) is not { } text) return null;
        if (DateTimeOffset.TryParseExact(text, ["yyyy-MM-ddTHH:mm:ssK", "yyyy-MM-ddTHH:mm:ss.FFFFFFFK"], CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time)) return time;
        fields.Error(name, $"must be a time such as 2026-01-31T12:00:00Z, is \"{text}\"");
        return null;
    }
}
