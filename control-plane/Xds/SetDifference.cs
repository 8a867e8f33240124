using Mesh.ControlPlane.Compilation;

namespace Mesh.ControlPlane.Xds;

/// <summary>Where two sorted sets of resources differ. Pure; unchanged resources are mostly the same object, so a walk is cheap.</summary>
internal static class SetDifference
{
    /// <summary>One name whose resource was added (no before), changed, or removed (no after).</summary>
    public readonly record struct Change(Resource? Before, Resource? After)
    {
        /// <summary>The resource's name.</summary>
        public string Name => (After ?? Before)!.Name;
    }

    /// <summary>All changes on the way from <paramref name="before"/> to <paramref name="after"/>, by name.</summary>
    public static IEnumerable<Change> Between(ResourceSet before, ResourceSet after)
    {
        if (ReferenceEquals(before, after)) yield break;
        int b = 0, a = 0;
        while (b < before.Items.Length || a < after.Items.Length)
        {
            var old = b < before.Items.Length ? before.Items[b] : null;
            var now = a < after.Items.Length ? after.Items[a] : null;
            var order = old is null ? 1 : now is null ? -1 : ReferenceEquals(old, now) ? 0 : string.CompareOrdinal(old.Name, now.Name);
            if (order <= 0) b++;
            if (order >= 0) a++;
            if (order < 0) yield return new Change(old, null);
            else if (order > 0) yield return new Change(null, now);
            else if (!ReferenceEquals(old, now) && old!.Version != now!.Version) yield return new Change(old, now);
        }
    }
}
