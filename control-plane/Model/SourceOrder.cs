namespace Mesh.ControlPlane.Model;

/// <summary>The names of the sources of <see cref="WorldStore"/>, and who is believed when two of them know the same thing. Pure.</summary>
public static class SourceOrder
{
    /// <summary>Workloads that hold a stream to this control plane: news about them is first-hand.</summary>
    public const string Workloads = "workloads";

    /// <summary>Rule files, with their Pod documents: a person wrote them.</summary>
    public const string Files = "files";

    /// <summary>Consul, or the built-in registry behind the same API.</summary>
    public const string Consul = "consul";

    private static readonly string[] Known = [Workloads, Files, Consul];

    /// <summary>Orders source names by whom to believe first; names not known here come last, by name.</summary>
    public static IOrderedEnumerable<KeyValuePair<string, T>> Sort<T>(IEnumerable<KeyValuePair<string, T>> slices) =>
        slices.OrderBy(slice => Rank(slice.Key)).ThenBy(slice => slice.Key, StringComparer.Ordinal);

    private static int Rank(string source)
    {
        var rank = Array.IndexOf(Known, source);
        return rank < 0 ? Known.Length : rank;
    }
}
