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
        var listing = string.Concat(Families().Select(f => List(f, NftScript.TableName)).Where(IsOurs));
        if (listing.Length == 0) return null;
        var comments = OptionsChain().Match(listing) is { Success: true } chain ? Comment().Matches(chain.Value).Select(m => m.Groups["text"].Value) : [];
        return new InstalledRules(CaptureFlags.Read(string.Concat(comments)), listing);
    }

    /// <inheritdoc/>
    public string Listing(CapturePlan plan)
    {
        var family = NftScript.FamilyOf(plan);
        Feed(Twins() + NftScript.Table(plan, NftScript.TwinName, dormant: true));
        try
        {
            return DormantFlag().Replace(List(family, NftScript.TwinName), "")
                .Replace($"table {family} {NftScript.TwinName} {{", $"table {family} {NftScript.TableName} {{", StringComparison.Ordinal);
        }
        finally
        {
            Feed(Twins());
        }
    }

    /// <inheritdoc/>
    public void Apply(CapturePlan plan)
    {
        var there = Families().ToList();
        if (there.Find(f => !IsOurs(List(f, NftScript.TableName))) is { } family) throw new CaptureException($"there is a table {family} {NftScript.TableName} that is not ours (it has no chain options): it is left alone; rename it, or use --backend iptables");
        Feed(Twins() + string.Concat(there.Where(f => f != NftScript.FamilyOf(plan)).Select(f => NftScript.Removal(f))) + NftScript.Replace(plan));
    }

    /// <inheritdoc/>
    public void Remove() => Feed(Twins() + string.Concat(Families().Where(f => IsOurs(List(f, NftScript.TableName))).Select(f => NftScript.Removal(f))));

    /// <summary>The families in which there is a table of that name.</summary>
    private static IEnumerable<string> Families(string table = NftScript.TableName)
    {
        var tables = Must(ExternalCommand.Run("nft", ["list", "tables"]), "").Split('\n').ToHashSet(StringComparer.Ordinal);
        return AllFamilies.Where(f => tables.Contains($"table {f} {table}"));
    }

    /// <summary>Removes the twins that are there: one's own, and those of who was killed.</summary>
    private static string Twins() => string.Concat(Families(NftScript.TwinName).Select(f => NftScript.Removal(f, NftScript.TwinName)));

    private static bool IsOurs(string listing) => listing.Contains("\tchain options {", StringComparison.Ordinal);

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
        if (error.Contains("No such file or directory", StringComparison.Ordinal) && KernelParts.Missing(line) is { } missing) said.Append($": perhaps {missing}");
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
