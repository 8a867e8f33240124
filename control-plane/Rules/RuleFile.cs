namespace Mesh.ControlPlane.Rules;

/// <summary>A rule file as read from disk or sent by an operator. Immutable.</summary>
/// <param name="Path">Path as the operator knows it; stands in every error and provenance.</param>
/// <param name="Content">Its bytes.</param>
internal sealed record RuleFile(string Path, ReadOnlyMemory<byte> Content)
{
    /// <summary>Larger files are refused.</summary>
    public const int LargestBytes = 4 * 1024 * 1024;

    /// <summary>The error of a file that is too large.</summary>
    public static RuleError TooLarge(string path, long bytes) =>
        new(path, 1, "", $"the file has {bytes} bytes, more than the {LargestBytes} allowed: split it");
}
