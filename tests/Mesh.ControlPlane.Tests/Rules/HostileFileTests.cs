using System.Runtime.CompilerServices;
using System.Text;
using Mesh.ControlPlane.Rules;

namespace Mesh.ControlPlane.Tests.Rules;

/// <summary>Files that are not rules at all, or made to hurt: an error, in bounded time, and nothing thrown.</summary>
public sealed class HostileFileTests
{
    [Fact]
    public void Too_large() => Assert.Equal(
        "r.yaml:1: the file has 4194305 bytes, more than the 4194304 allowed: split it", ErrorOf(new byte[RuleFile.LargestBytes + 1]));

    [Fact]
    public void Not_UTF8() => Assert.Equal("r.yaml:2: is not UTF-8 text: save the file in UTF-8", ErrorOf([.. "a: b\nc: "u8, 0xFF, 0xFE, (byte)'\n']));

    [Fact]
    public void Binary() => Assert.Equal("r.yaml:2: holds the control character U+0000: rule files are text", ErrorOf("a: b\nc\0d"u8.ToArray()));

    [Fact]
    public void Nested_a_million_times() => Assert.Equal("r.yaml:1: is nested deeper than 64 levels", ErrorOf(Encoding.ASCII.GetBytes(new string('[', 1_000_000))));

    [Fact]
    public void Aliases_that_would_grow_to_a_billion() => Assert.Equal(
        "r.yaml:1: uses the anchor &a, which is not supported: write the value out where it is needed",
        ErrorOf("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b]\n"u8.ToArray()));

    [Fact]
    public void Too_many_values() => Assert.EndsWith(
        "has more than 200000 values: split the file", ErrorOf(Encoding.ASCII.GetBytes("a: [" + string.Concat(Enumerable.Repeat("1,", 300_000)) + "1]")), StringComparison.Ordinal);

    [Fact]
    public void Errors_without_end_are_cut()
    {
        var text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: [{port: 80}]\n" + string.Concat(Enumerable.Range(0, 5000).Select(number => $"  zz{number}zzzzzzzzzzzzzzzz: 1\n"));
        var parsed = RuleReader.Read([new RuleFile("r.yaml", Encoding.UTF8.GetBytes(text))]);
        Assert.Equal(201, parsed.Errors.Length);
        Assert.Equal("there are more than 200 errors: the rest is not shown", parsed.Errors[^1].Text);
    }

    [Fact]
    public void Errors_of_all_files_are_reported_by_file_and_line()
    {
        var parsed = RuleReader.Read(
        [
            new RuleFile("b.yaml", "kind: Service"u8.ToArray()),
            new RuleFile("a.yaml", "x: [\n"u8.ToArray()),
            new RuleFile("c.yaml", "- 1"u8.ToArray()),
        ]);
        Assert.Equal(["a.yaml", "b.yaml", "c.yaml"], parsed.Errors.Select(error => error.File));
    }

    /// <summary>Documents of the table with random bytes changed, cut and doubled: whatever comes, it is an answer and not an exception.</summary>
    [Fact]
    public void Mutated_documents_never_throw()
    {
        var random = new Random(20261121);
        var seed = Encoding.UTF8.GetBytes(File.ReadAllText(Path.Combine(Here(), "BadDocuments.txt")));
        for (var round = 0; round < 3000; round++)
        {
            var start = random.Next(seed.Length - 600);
            var bytes = seed[start..(start + random.Next(50, 600))].ToList();
            for (var change = random.Next(12); change > 0; change--)
            {
                var at = random.Next(bytes.Count);
                if (random.Next(3) == 0) bytes.RemoveAt(at);
                else if (random.Next(2) == 0) bytes.Insert(at, (byte)"{}[]:-,&*!|>'\"%@`#\t\n \u0000~?"[random.Next(24)]);
                else bytes[at] = (byte)random.Next(256);
                if (bytes.Count < 10) break;
            }

            var thrown = Record.Exception(() => RuleReader.Read([new RuleFile("r.yaml", bytes.ToArray())]));
            Assert.True(thrown is null, $"round {round}: {thrown}\n{Encoding.Latin1.GetString(bytes.ToArray())}");
        }
    }

    private static string ErrorOf(byte[] content) => Assert.Single(RuleReader.Read([new RuleFile("r.yaml", content)]).Errors).ToString();

    private static string Here([CallerFilePath] string here = "") => Path.GetDirectoryName(here)!;
}
