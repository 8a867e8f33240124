using System.Text.Json;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// Chains of others that see new connections before ours do: whoever redirects first decides. They may have good reasons, and no rule of ours can come
/// before them, so they are only named. Looks each time.
/// </summary>
internal static class EarlierNat
{
    private const int IptablesPriority = -100;

    /// <summary>The chains, for a reader.</summary>
    public static IEnumerable<string> Chains(ICaptureBackend backend) => OfNft(backend).Concat(OfLegacy(backend));

    /// <summary>Two kinds of iptables have the same priority; whoever came first is first, and the kernel does not say who.</summary>
    private static IEnumerable<string> OfLegacy(ICaptureBackend backend) =>
        backend is IptablesBackend { IsLegacy: false } && Backends.HasLegacyTables() && IptablesBackend.WhyNot("-legacy") is null
            ? ExternalCommand.Run("iptables-legacy-save", ["-t", "nat"]).Output.Split('\n')
                .Where(l => l.StartsWith("-A OUTPUT", StringComparison.Ordinal) || l.StartsWith("-A PREROUTING", StringComparison.Ordinal))
                .Select(l => $"iptables-legacy, \"{l.Trim()}\" (perhaps; --backend nft comes before)")
            : [];

    private static IEnumerable<string> OfNft(ICaptureBackend backend)
    {
        if (NftBackend.WhyNot() is not null) return [];
        var answer = ExternalCommand.Run("nft", ["-j", "list", "chains"]);
        if (answer.ExitCode != 0) return [];
        using var document = JsonDocument.Parse(answer.Output);
        var priority = backend is NftBackend ? NftScript.NatPriority : IptablesPriority;
        return [.. document.RootElement.GetProperty("nftables").EnumerateArray().Where(e => e.TryGetProperty("chain", out _)).Select(e => Read(e.GetProperty("chain"), priority)).OfType<string>()];
    }

    private static string? Read(JsonElement chain, int priority)
    {
        var (family, table, name, hook) = (Text(chain, "family"), Text(chain, "table"), Text(chain, "name"), Text(chain, "hook"));
        if (Text(chain, "type") != "nat" || hook is not ("output" or "prerouting") || !chain.TryGetProperty("prio", out var at) || at.GetInt32() >= priority) return null;
        return table == NftScript.TableName && CapturePlan.ChainNames.Contains(name) ? null : $"table {family} {table}, chain {name} (nat {hook}, priority {at.GetInt32()})";
    }

    private static string Text(JsonElement chain, string property) => chain.TryGetProperty(property, out var value) ? value.GetString() ?? "" : "";
}
