using System.Text;
using System.Text.RegularExpressions;

namespace Mesh.Sidecar.Capture;

/// <summary>Rules by nft: one table of our own, replaced in one transaction. Stateless.</summary>
internal sealed partial class NftBackend : ICaptureBackend
{
    private static readonly string[] AllFamilies = ["inet", "ip"];

    /// <inheritdoc/>
    public string Name => "nft";

    /// <summary>Whether nft is there and this kernel answers it; else why not.</summary>
    public static string? WhyNot()
    {
        if (ExternalCommand.Find("nft") is null) return "nft is not installed";
        var answer = ExternalCommand.Run("nft", ["list", "tables"]);
        return answer.ExitCode == 0 ? null : $"nft does not work here: {FirstLine(answer.Error)}";
    }

    /// <inheritdoc/>
    public InstalledRules? Read()
    {
        var listing = string.Concat(Families().Select(f => List(f, NftScript.TableName)));
        if (listing.Length == 0) return null;
        var comments = OptionsChain().Match(listing) is { Success: true } chain ? Comment().Matches(chain.Value).Select(m => m.Groups["text"].Value) : [];
        return new InstalledRules(CaptureFlags.Read(string.Concat(comments)), listing);
    }

    /// <inheritdoc/>
    public string Listing(CapturePlan plan)
    {
        var (family, twin) = (NftScript.FamilyOf(plan), $"mesh_twin_{Environment.ProcessId}");
        Feed(NftScript.Table(plan, twin, dormant: true));
        try
        {
            return DormantFlag().Replace(List(family, twin), "")
                .Replace($"table {family} {twin} {{", $"table {family} {NftScript.TableName} {{", StringComparison.Ordinal);
        }
        finally
        {
            Feed($"delete table {family} {twin}\n");
        }
    }

    /// <inheritdoc/>
    public void Apply(CapturePlan plan)
    {
        var others = Families().Where(f => f != NftScript.FamilyOf(plan)).Select(NftScript.Removal);
        Feed(string.Concat(others) + NftScript.Replace(plan));
    }

    /// <inheritdoc/>
    public void Remove() => Feed(string.Concat(Families().Select(NftScript.Removal)));

    /// <summary>The families in which our table is.</summary>
    private static IEnumerable<string> Families()
    {
        var tables = Must(ExternalCommand.Run("nft", ["list", "tables"]), "").Split('\n').ToHashSet(StringComparer.Ordinal);
        return AllFamilies.Where(f => tables.Contains($"table {f} {NftScript.TableName}"));
    }

    private static string List(string family, string table) => Must(ExternalCommand.Run("nft", ["-s", "list", "table", family, table]), "");

    private static void Feed(string script)
    {
        if (script.Length > 0) Must(ExternalCommand.Run("nft", ["-f", "-"], script), script);
    }

    private static string Must(CommandResult result, string script) => result.ExitCode == 0 ? result.Output : throw new CaptureException(Explain(result.Error, script));

    /// <summary>What nft's complaint means: it names the line of the script, the line what the kernel does not have.</summary>
    private static string Explain(string error, string script)
    {
        var said = new StringBuilder("nft: ").Append(FirstLine(error));
        if (FailedLine().Match(error) is not { Success: true } at) return said.ToString();
        var lines = script.Split('\n');
        var number = int.Parse(at.Groups["line"].ValueSpan, System.Globalization.CultureInfo.InvariantCulture);
        if (number < 1 || number > lines.Length) return said.ToString();
        var line = lines[number - 1].Trim();
        said.Append($" (at \"{line}\")");
        if (error.Contains("No such file or directory", StringComparison.Ordinal) && KernelParts.Missing(line) is { } missing) said.Append($": {missing}");
        return said.ToString();
    }

    private static string FirstLine(string text) => text.Split('\n').FirstOrDefault(l => l.Length > 0) ?? "it says nothing";

    [GeneratedRegex(@"\tchain options \{\n(?:\t\t.*\n)*\t\}", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex OptionsChain();

    [GeneratedRegex(@"\tflags dormant\n\n?", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex DormantFlag();

    [GeneratedRegex("comment \"(?<text>[^\"]*)\"", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Comment();

    [GeneratedRegex(@"stdin:(?<line>\d+):", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex FailedLine();
}
