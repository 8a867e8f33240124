using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model;

/// <summary>Collects what is odd while a world is built; bounded, so that a broken registry cannot fill memory. One thread, one build.</summary>
internal sealed class Notices
{
    private const int Most = 1000;
    private readonly ImmutableArray<Notice>.Builder kept = ImmutableArray.CreateBuilder<Notice>();
    private int dropped;

    /// <summary>Adds a notice.</summary>
    public void Add(Provenance source, string text)
    {
        if (kept.Count < Most) kept.Add(new Notice(source, text));
        else dropped++;
    }

    /// <summary>All of them, with a last word about those that found no room.</summary>
    public ImmutableArray<Notice> ToImmutable()
    {
        if (dropped > 0)
            kept.Add(new Notice(new Provenance("Mesh", "", "notices", "control plane"), $"{dropped} more notices are not shown"));
        return kept.ToImmutable();
    }
}
