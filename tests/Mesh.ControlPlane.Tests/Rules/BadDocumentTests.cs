using System.Runtime.CompilerServices;
using System.Text;
using Mesh.ControlPlane.Rules;

namespace Mesh.ControlPlane.Tests.Rules;

/// <summary>What is wrong with a document is said with line, field and what to do: the table of <c>BadDocuments.txt</c>, word for word.</summary>
public sealed class BadDocumentTests
{
    public static TheoryData<string> Titles() => [.. Table().Select(row => row.Title)];

    [Theory]
    [MemberData(nameof(Titles))]
    public void Errors_are_exact(string title)
    {
        var row = Table().Single(row => row.Title == title);
        var parsed = RuleReader.Read([new RuleFile("r.yaml", Encoding.UTF8.GetBytes(row.Document))]);
        Assert.Equal(row.Errors, string.Join('\n', parsed.Errors));
    }

    [Fact]
    public void The_table_is_long_and_has_no_row_without_error()
    {
        Assert.InRange(Table().Count, 60, 500);
        Assert.DoesNotContain(Table(), row => row.Errors.Length == 0);
    }

    private static List<(string Title, string Document, string Errors)> Table([CallerFilePath] string here = "") =>
        File.ReadAllText(Path.Combine(Path.GetDirectoryName(here)!, "BadDocuments.txt"))
            .Split("\n=== ").Skip(1)
            .Select(block =>
            {
                var title = block[..block.IndexOf('\n', StringComparison.Ordinal)];
                var parts = block[(title.Length + 1)..].Split("\n--- errors\n");
                return (title, parts[0].Replace("<tab>", "\t", StringComparison.Ordinal), parts[1].TrimEnd('\n'));
            }).ToList();
}
