namespace Mesh.Sidecar.Capture;

/// <summary>Finds out whether a workload is captured: what is installed is as it was made, and connections go where they should. Used once.</summary>
internal sealed class CaptureCheck(Installer installer)
{
    /// <summary>Differences of rules that are said; more tell nothing new.</summary>
    private const int MostDifferences = 8;

    /// <summary>Everything found, in the order of looking.</summary>
    public IEnumerable<Finding> Run(CaptureFlags flags)
    {
        if (Backends.Installed() is not { } installed)
        {
            yield return Finding.Broken("no rules are installed (or somebody flushed them, as a firewall's reload does): nothing is captured. mesh-sidecar capture install");
            yield break;
        }

        var options = flags.SaysNothing && installed.Rules.Options is { } kept ? kept : installer.Resolve(flags.Options);
        if (installed.Rules.Options is null) yield return Finding.Broken("the options kept beside the rules are gone: somebody changed the rules. mesh-sidecar capture install");
        var plan = CapturePlan.From(options);
        foreach (var finding in Compare(installed.Backend, installed.Rules, plan).Concat(Others(installed.Backend)).Concat(Machine(plan))) yield return finding;
        var connections = new ConnectionCheck(options);
        foreach (var finding in connections.Outbound().Concat(connections.Inbound())) yield return finding;
        yield return Finding.Note("UDP other than DNS to the configured servers is not captured: it passes by untouched");
    }

    private static IEnumerable<Finding> Compare(ICaptureBackend backend, InstalledRules installed, CapturePlan plan)
    {
        var (there, wanted) = (installed.Listing.Split('\n'), backend.Listing(plan).Split('\n'));
        if (there.SequenceEqual(wanted))
        {
            yield return Finding.Works($"rules are as installed ({backend.Name})");
            yield break;
        }

        var differences = wanted.Except(there).Select(l => $"missing: {l.Trim()}").Concat(there.Except(wanted).Select(l => $"not ours: {l.Trim()}")).ToList();
        if (differences.Count == 0) differences.Add("their order is another");
        foreach (var difference in differences.Take(MostDifferences)) yield return Finding.Broken($"rules were changed by somebody ({backend.Name}): {difference}");
        if (differences.Count > MostDifferences) yield return Finding.Broken($"and {differences.Count - MostDifferences} more differences. mesh-sidecar capture install sets them right");
    }

    /// <summary>Rules beside those installed.</summary>
    private static IEnumerable<Finding> Others(ICaptureBackend backend)
    {
        foreach (var chain in EarlierNat.Chains(backend)) yield return Finding.Note($"others' NAT comes before capture, and what it redirects passes the sidecar by: {chain}");
        foreach (var other in Backends.Working().Where(b => b.Name != backend.Name && b.Read() is not null))
        {
            yield return Finding.Broken($"rules of {other.Name} are there, too, as after an installation that was killed: they capture what these leave alone. mesh-sidecar capture install");
        }
    }

    /// <summary>What the machine is like, beside its rules.</summary>
    private static IEnumerable<Finding> Machine(CapturePlan plan)
    {
        foreach (var route in Routing.Missing(plan))
        {
            yield return Finding.Broken(route.IsForAnswers
                ? $"routing rule or route of the application's answers is missing ({route.Network}, mark {CapturePlan.TransparentMark}, table {CapturePlan.RoutingTable})"
                : $"the route for virtual addresses {route.Network} is missing");
        }

        if (plan.Options.Ipv6 && !CaptureSystem.HasIpv6) yield return Finding.Note("IPv6 is switched off here; should it be switched on, it is refused until install has run again");
        if (!plan.Options.Ipv6 && CaptureSystem.HasIpv6) yield return Finding.Note("IPv6 is not captured, and this machine has it: what goes by IPv6 passes the sidecar by");
        if (SocketTable.ListenerOwner(plan.Options.OutboundTo) is { } owner && owner != plan.Options.ProxyUid)
        {
            yield return Finding.Note($"what listens on {plan.Options.OutboundTo} is of user {owner}, and the rules leave user {plan.Options.ProxyUid} alone: unless its group is {plan.Options.ProxyGid}, what it sends comes back to it");
        }

        if (!plan.Options.Dns || plan.Options.Resolvers is not { } resolvers || plan.Options.ResolvConf is not { } file) yield break;
        var (named, _) = ResolvConf.Read(file);
        var missed = named.Except(resolvers).ToList();
        if (missed.Count > 0) yield return Finding.Broken($"{file} names {string.Join(", ", missed)} by now, to which queries are not captured (they are to {string.Join(", ", resolvers)}). mesh-sidecar capture install");
    }
}
