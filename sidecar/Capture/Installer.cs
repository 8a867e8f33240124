using System.Net.Sockets;

namespace Mesh.Sidecar.Capture;

/// <summary>Brings the kernel to what a plan says, or back; decides nothing about rules. Used once, on one thread.</summary>
/// <param name="say">What was done.</param>
/// <param name="warn">What the operator should know.</param>
internal sealed class Installer(Action<string> say, Action<string> warn)
{
    /// <summary>Sets the rules of the options in place of what is there.</summary>
    public void Install(CaptureFlags flags)
    {
        var plan = CapturePlan.From(Resolve(flags.Options));
        var backend = Backends.Choose(flags.Backend);
        var others = Backends.Working().Where(b => b.Name != backend.Name && b.Read() is not null).ToList();
        // Routes before the rules that need them; what only the rules before needed goes after those. Killed in between, nothing is lost.
        var routes = new List<CaptureRoute>();
        var changed = SetRules(backend, plan, routes);
        var done = routes.Select(r => $"{r.Name}: added").Concat(Routing.Remove(r => !plan.Needs(r)).Select(r => $"{r.Name}: removed")).ToList();
        if (changed) say($"capture installed ({backend.Name})");
        else say(done.Count + others.Count == 0 ? $"capture is installed as asked ({backend.Name}); nothing changed" : $"rules are as asked ({backend.Name})");
        foreach (var route in done) say(route);
        // Last, so that there is no moment without rules.
        foreach (var other in others)
        {
            other.Remove();
            say($"rules of {other.Name} removed: those of {backend.Name} are in their place");
        }
    }

    /// <summary>Takes away what is ours, by whatever program it was made.</summary>
    public void Remove()
    {
        var isInstalled = false;
        foreach (var backend in Backends.Working())
        {
            var isThere = backend.Read() is not null;
            // Also without rules: a twin of one that was killed may be left.
            backend.Remove();
            if (isThere) say($"capture removed ({backend.Name})");
            isInstalled |= isThere;
        }

        var routes = Routing.Remove(_ => true);
        foreach (var route in routes) say($"{route.Name}: removed");
        if (!isInstalled && routes.Count == 0) say("capture is not installed; nothing to remove");
    }

    /// <summary>The rules of the options, or those installed when no options are given.</summary>
    public string Show(CaptureFlags flags)
    {
        var options = flags.Options;
        var installed = CaptureSystem.MayAdminister ? Backends.Installed() : null;
        if (flags.SaysNothing && installed?.Rules.Options is { } kept) options = kept;
        var plan = CapturePlan.From(Resolve(options));
        return flags.Format switch
        {
            CaptureFormat.Nft => NftScript.Replace(plan),
            CaptureFormat.Iptables => "# iptables-restore --noflush\n" + IptablesScript.Whole(plan, AddressFamily.InterNetwork)
                + (plan.Options.Ipv6 ? "# ip6tables-restore --noflush\n" + IptablesScript.Whole(plan, AddressFamily.InterNetworkV6) : ""),
            _ => $"{State(installed, flags)}\n{PlanText.Of(plan)}",
        };
    }

    private static string State((ICaptureBackend Backend, InstalledRules Rules)? installed, CaptureFlags flags) => (installed, flags.SaysNothing) switch
    {
        ({ } one, true) when one.Rules.Options is not null => $"installed ({one.Backend.Name}):",
        ({ } one, true) => $"installed ({one.Backend.Name}), with options that somebody removed; these are the usual ones:",
        ({ } one, false) => $"what these options would set, in place of what is installed ({one.Backend.Name}):",
        (null, _) when !CaptureSystem.MayAdminister => "what install would set (whether something is installed shows with CAP_NET_ADMIN only):",
        _ => "not installed; what install would set:",
    };

    /// <summary>Options with everything that this machine has to say: its DNS servers, whether it has IPv6.</summary>
    public CaptureOptions Resolve(CaptureOptions options)
    {
        if (options.Ipv6 && !CaptureSystem.KnowsIpv6)
        {
            warn("this kernel has no IPv6: IPv4 only is captured");
            options = options with { Ipv6 = false };
        }
        else if (options.Ipv6 && !CaptureSystem.HasIpv6)
        {
            // The rules all the same: what comes to be used later would go past the sidecar.
            warn("IPv6 is switched off here; should it be switched on, it is refused until install has run again");
        }

        if (!options.Dns || options.Resolvers is not null || options.ResolvConf is not { } file) return options;
        var (servers, complaints) = ResolvConf.Read(file);
        foreach (var complaint in complaints) warn(complaint);
        return servers.Length > 0 ? options with { Resolvers = servers } : options with { Dns = false };
    }

    /// <summary>Sets the rules, and <paramref name="routes"/> that are missing, unless they are there; false when the rules were.</summary>
    private static bool SetRules(ICaptureBackend backend, CapturePlan plan, List<CaptureRoute> routes)
    {
        try
        {
            Routing.Add(plan, routes);
            if (backend.Read()?.Listing == backend.Listing(plan) && !IsAboutTheMoment(backend, plan)) return false;
            backend.Apply(plan);
            return true;
        }
        catch (CaptureException)
        {
            // Nothing half done: the rules are as they were, the routes have to be so, too.
            Routing.Undo(routes);
            throw;
        }
    }

    /// <summary>iptables lists a cgroup by the name it had: one that was made anew under that name is not told apart.</summary>
    private static bool IsAboutTheMoment(ICaptureBackend backend, CapturePlan plan) => backend is IptablesBackend && plan.Options.Cgroup is not null;

    /// <summary>Throws, in words, when this process may not change rules.</summary>
    public static void MustAdminister()
    {
        if (!CaptureSystem.MayAdminister) throw new CaptureException("rules of the network may be changed only with CAP_NET_ADMIN: run it as root, or in an init container with that capability");
    }
}
