using System.Collections.Immutable;
using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane;

/// <summary>The flags about the network the mesh lives in and how they become <see cref="NetworkTerms"/>. Used once, at the start.</summary>
internal sealed class NetworkFlags
{
    private const string None = "none";
    private readonly Option<string[]> virtualRanges = new("--virtual-range") { Description = "CIDR from which services without an address get one, by default 240.0.0.0/4 and fd6d:6573:6800::/48; may be repeated; none gives out none", HelpName = "CIDR" };
    private readonly Option<string[]> serviceRanges = new("--service-range") { Description = "CIDR of the cluster's service addresses: nothing goes there in plaintext unasked; may be repeated", HelpName = "CIDR" };
    private readonly Option<string[]> podRanges = new("--pod-range") { Description = "CIDR of instances: nothing goes there in plaintext unasked; may be repeated", HelpName = "CIDR" };
    private readonly Option<string> policy = new("--outbound-policy") { Description = "what becomes of calls to destinations nobody knows: allow-any or registry-only", DefaultValueFactory = _ => "allow-any", HelpName = "POLICY" };

    /// <summary>Adds them to the command.</summary>
    public void AddTo(RootCommand root)
    {
        foreach (var option in (Option[])[virtualRanges, serviceRanges, podRanges, policy]) root.Options.Add(option);
    }

    /// <summary>Reads them; a <see cref="FormatException"/> says which is wrong.</summary>
    public NetworkTerms Read(ParseResult parsed) => new()
    {
        VirtualRanges = ReadVirtual(parsed),
        ServiceRanges = Ranges(parsed, serviceRanges),
        PodRanges = Ranges(parsed, podRanges),
        RegistryOnly = parsed.GetValue(policy) switch
        {
            "allow-any" => false,
            "registry-only" => true,
            var other => throw new FormatException($"--outbound-policy: '{other}' is neither allow-any nor registry-only"),
        },
    };

    // A range of one family leaves the other at its default.
    private ImmutableArray<IPNetwork> ReadVirtual(ParseResult parsed)
    {
        if (parsed.GetValue(virtualRanges) is [None]) return [];
        var given = Ranges(parsed, virtualRanges);
        if (given.FirstOrDefault(range => NetworkTerms.Unusable(range)) is { PrefixLength: > 0 } bad) throw new FormatException($"--virtual-range: {bad} is not for services: loopback, link-local and multicast addresses mean something already");
        return [.. given, .. NetworkTerms.DefaultVirtualRanges.Where(range => !given.Any(other => Family(other) == Family(range)))];
    }

    private static AddressFamily Family(IPNetwork range) => range.BaseAddress.AddressFamily;

    private static ImmutableArray<IPNetwork> Ranges(ParseResult parsed, Option<string[]> option)
    {
        var ranges = ImmutableArray.CreateBuilder<IPNetwork>();
        foreach (var text in parsed.GetValue(option) ?? [])
        {
            if (!IPNetwork.TryParse(text, out var range) || range.PrefixLength == 0 || !IPAddress.Parse(text.Split('/')[0]).Equals(range.BaseAddress))
                throw new FormatException($"{option.Name}: '{text}' is no CIDR such as 10.96.0.0/12 or fd00::/64, with zeros behind the prefix");
            if (ranges.FirstOrDefault(other => Family(other) == Family(range) && (other.Contains(range.BaseAddress) || range.Contains(other.BaseAddress))) is { PrefixLength: > 0 } overlap)
                throw new FormatException($"{option.Name}: {range} and {overlap} overlap");
            ranges.Add(range);
        }

        return ranges.ToImmutable();
    }
}
