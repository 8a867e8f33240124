using System.Buffers;

namespace Mesh.ControlPlane.Identity.Stores;

/// <summary>
/// The names entries may have: segments of letters, digits, <c>-</c>, <c>_</c> and <c>.</c> divided by <c>/</c>. So a name is a file's path and a
/// key alike, and nothing a caller says leads out of the store. Pure.
/// </summary>
internal static class EntryName
{
    private const int Longest = 400;
    private const int LongestSegment = 200;
    private static readonly SearchValues<char> Letters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");

    /// <summary>The name itself, or an <see cref="ArgumentException"/>: names are made by this program.</summary>
    public static string Checked(string name) =>
        IsName(name) ? name : throw new ArgumentException($"'{name}' is no name of an entry", nameof(name));

    /// <summary>Whether an entry may be called so.</summary>
    public static bool IsName(string name) => name.Length is > 0 and <= Longest && Array.TrueForAll(name.Split('/'), IsSegment);

    // A draft is what a write that was cut off leaves behind.
    private static bool IsSegment(string segment) =>
        segment.Length is > 0 and <= LongestSegment
        && segment is not ("." or "..")
        && !segment.AsSpan().ContainsAnyExcept(Letters)
        && !segment.EndsWith(FolderStore.DraftEnding, StringComparison.Ordinal);
}
