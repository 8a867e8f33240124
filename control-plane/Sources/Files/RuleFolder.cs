using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Mesh.Api.Identity;
using Mesh.ControlPlane.Rules;

namespace Mesh.ControlPlane.Sources.Files;

/// <summary>
/// A folder of rule files: finds *.yaml, *.yml and *.json below it, dotfiles excepted (so a ConfigMap's <c>..data</c> is read through
/// the links beside it). Stateless; reads the disk at each call.
/// </summary>
/// <param name="path">The folder.</param>
/// <param name="shownAs">The folder as the operator knows it; stands before file names in errors and provenance.</param>
internal sealed class RuleFolder(string path, string shownAs)
{
    private const int MostFiles = 10_000;
    private const int DeepestFolder = 16;
    private static readonly string[] Extensions = [".yaml", ".yml", ".json"];

    /// <summary>The folder as shown.</summary>
    public string ShownAs => shownAs;

    /// <summary>
    /// What changes when a file changes, appears, goes or is replaced behind a link, without reading any; and whether a file is empty,
    /// as files are that somebody is about to write.
    /// </summary>
    public (string Fingerprint, bool HasEmptyFile) Look()
    {
        var hasEmptyFile = false;
        var text = new StringBuilder();
        foreach (var file in Find())
        {
            var target = new FileInfo(RealPath(file));
            text.Append(CultureInfo.InvariantCulture, $"{file}|{target.FullName}|");
            if (target.Exists)
            {
                text.Append(CultureInfo.InvariantCulture, $"{target.Length}|{target.LastWriteTimeUtc.Ticks}");
                hasEmptyFile |= target.Length == 0;
            }

            text.Append('\n');
        }

        return (text.ToString(), hasEmptyFile);
    }

    /// <summary>Reads all files; those that cannot be read are errors.</summary>
    public (ImmutableArray<RuleFile> Files, ImmutableArray<RuleError> Errors) Read()
    {
        var files = ImmutableArray.CreateBuilder<RuleFile>();
        var errors = ImmutableArray.CreateBuilder<RuleError>();
        foreach (var file in Find())
        {
            var shown = Path.Combine(shownAs, Path.GetRelativePath(path, file));
            try
            {
                using var stream = new FileStream(RegularFiles.Open(file), FileAccess.Read);
                if (stream.Length > RuleFile.LargestBytes) errors.Add(RuleFile.TooLarge(shown, stream.Length));
                else files.Add(new RuleFile(shown, ReadAll(stream)));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                errors.Add(new RuleError(shown, 1, "", "cannot be read: " + e.Message));
            }
        }

        return (files.ToImmutable(), errors.ToImmutable());
    }

    private static byte[] ReadAll(FileStream stream)
    {
        using var content = new MemoryStream();
        stream.CopyTo(content);
        return content.ToArray();
    }

    // A ConfigMap's file is a link into ..data, and ..data the link that is swapped: both have to be followed.
    private static string RealPath(string file)
    {
        var target = File.ResolveLinkTarget(file, returnFinalTarget: true)?.FullName ?? file;
        var parent = Path.GetDirectoryName(target)!;
        var realParent = Directory.ResolveLinkTarget(parent, returnFinalTarget: true)?.FullName ?? parent;
        return Path.Combine(realParent, Path.GetFileName(target));
    }

    private IEnumerable<string> Find() => Find(path, 0).Take(MostFiles).Order(StringComparer.Ordinal);

    private static IEnumerable<string> Find(string folder, int depth)
    {
        if (depth > DeepestFolder) yield break;
        foreach (var entry in Directory.EnumerateFileSystemEntries(folder))
        {
            if (Path.GetFileName(entry).StartsWith('.')) continue;
            if (Directory.Exists(entry))
            {
                foreach (var inner in Find(entry, depth + 1)) yield return inner;
            }
            else if (Extensions.Contains(Path.GetExtension(entry), StringComparer.OrdinalIgnoreCase))
            {
                yield return entry;
            }
        }
    }
}
