namespace Mesh.Architecture.Tests;

/// <summary>Sizes that keep the code readable (ARCHITECTURE.md, "Sizes").</summary>
public class SourceShapeTests
{
    private const int MostLines = 400;

    [Fact]
    public void Few_files_are_long_and_none_is_very_long()
    {
        string[] programs = ["api", "sidecar", "control-plane", "cli"];
        var lengths = programs.SelectMany(Repository.Sources).Select(f => (File: f, Lines: File.ReadLines(f).Count())).ToList();
        Assert.NotEmpty(lengths);
        Assert.Empty(lengths.Where(l => l.Lines > MostLines).Select(l => $"{Path.GetRelativePath(Repository.Root, l.File)}: {l.Lines} lines"));
        Assert.True(
            lengths.Count(l => l.Lines > 250) * 10 <= lengths.Count,
            "more than one file in ten is over 250 lines: split by idea\n" + string.Join('\n', lengths.Where(l => l.Lines > 250)));
    }

    [Fact]
    public void Type_names_say_what_a_thing_is()
    {
        string[] empty = ["Manager", "Helper", "Util", "Utils", "Impl", "Info"];
        var offenders = new[] { "api", "sidecar", "control-plane", "cli" }.SelectMany(Repository.Sources)
            .Select(f => Path.GetFileNameWithoutExtension(f))
            .Where(n => empty.Any(e => n.EndsWith(e, StringComparison.Ordinal)));
        Assert.Empty(offenders);
    }

    [Theory]
    [InlineData("sidecar/Http/HttpProxy.cs")]
    [InlineData("sidecar/Tcp/TcpProxy.cs")]
    public void The_two_pages_stay_pages(string file)
    {
        var path = Path.Combine(Repository.Root, file);
        Assert.True(File.Exists(path), file + " is one of the two pages and must exist");
        Assert.InRange(File.ReadLines(path).Count(), 1, 150);
    }
}
