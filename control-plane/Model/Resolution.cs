using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace Mesh.ControlPlane.Model;

/// <summary>
/// A resolved service with what it was resolved from: while that is the same, so is the service. Immutable; kept by one world for the next.
/// </summary>
/// <param name="Document">Its document, or null.</param>
/// <param name="Members">Its instances.</param>
/// <param name="Slices">Its EndpointSlices.</param>
/// <param name="Service">The outcome, without routes.</param>
/// <param name="Notices">What was odd about it.</param>
internal sealed record Resolution(
    ServiceDocument? Document, List<Instance> Members, ImmutableArray<EndpointSliceDocument> Slices, Service Service, ImmutableArray<Notice> Notices)
{
    /// <summary>True when it holds for these inputs. Instances are compared as objects: equal ones were made one when they were merged.</summary>
    public bool Holds(ServiceDocument? document, List<Instance> members, ImmutableArray<EndpointSliceDocument> slices)
    {
        if (!ReferenceEquals(document, Document) || members.Count != Members.Count || !Sequence.Same(slices, Slices)) return false;
        var now = CollectionsMarshal.AsSpan(members);
        var then = CollectionsMarshal.AsSpan(Members);
        for (var i = 0; i < now.Length; i++)
        {
            if (!ReferenceEquals(now[i], then[i])) return false;
        }

        return true;
    }
}
