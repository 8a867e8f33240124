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
        MustAdminister();
        var plan = CapturePlan.From(Resolve(flags.Options));
        var backend = Backends.Choose(flags.Backend);
        var others = Backends.Working().Where(b => b.Name != backend.Name && b.Read() is not null).ToList();
        var routes = Routing.Apply(plan);
        var changed = SetRules(backend, plan, routes);
        if (changed) say($"capture installed ({backend.Name})");
        else say(routes.Count + others.Count == 0 ? $"capture is installed as asked ({backend.Name}); nothing changed" : $"rules are as asked ({backend.Name})");
        foreach (var route in routes) say(route);
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
        MustAdminister();
        var installed = Backends.Working().Where(b => b.Read() is not null).ToList();
        foreach (var backend in installed)
        {
            backend.Remove();
            say($"capture removed ({backend.Name})");
        }

        var routes = Routing.Remove();
        foreach (var route in routes) say(route);
        if (installed.Count + routes.Count == 0) say("capture is not installed; nothing to remove");
    }

    /// <summary>The rules of the options, or those installed when no options are given.</summary>
    public string Show(CaptureFlags flags)
    {
        var options = flags.Options;
        if (flags.SaysNothing && CaptureSystem.MayAdminister && Backends.Installed() is { Rules.Options: { } installed }) options = installed;
        var plan = CapturePlan.From(Resolve(options));
        return flags.Format switch
        {
            CaptureFormat.Nft => NftScript.Replace(plan),
            CaptureFormat.Iptables => "# iptables-restore --noflush\n" + IptablesScript.Whole(plan, AddressFamily.InterNetwork)
                + (plan.Options.Ipv6 ? "# ip6tables-restore --noflush\n" + IptablesScript.Whole(plan, AddressFamily.InterNetworkV6) : ""),
            _ => PlanText.Of(plan),
        };
    }

    /// <summary>Options with everything that this machine has to say: its DNS servers, whether it has IPv6.</summary>
    public CaptureOptions Resolve(CaptureOptions options)
    {
        if (options.Ipv6 && !CaptureSystem.HasIpv6)
        {
            warn("this machine has no IPv6: IPv4 only is captured");
            options = options with { Ipv6 = false };
        }

        if (!options.Dns || options.Resolvers is not null) return options;
        var (servers, complaints) = ResolvConf.Read(options.ResolvConf);
        foreach (var complaint in complaints) warn(complaint);
        return servers.Length > 0 ? options with { Resolvers = servers } : options with { Dns = false };
    }

    /// <summary>Sets the rules unless they are there; false when they were.</summary>
    private static bool SetRules(ICaptureBackend backend, CapturePlan plan, IReadOnlyList<string> routes)
    {
        var before = backend.Read();
        try
        {
            if (before?.Listing == backend.Listing(plan)) return false;
            backend.Apply(plan);
            return true;
        }
        catch (CaptureException)
        {
            // Nothing half done: the rules are as they were, the routes have to be so, too.
            if (routes.Count > 0) Routing.Apply(before?.Options is { } options ? CapturePlan.From(options) : plan with { Routes = [] });
            throw;
        }
    }

    /// <summary>Throws, in words, when this process may not change rules.</summary>
    public static void MustAdminister()
    {
        if (!CaptureSystem.MayAdminister) throw new CaptureException("rules of the network may be changed only with CAP_NET_ADMIN: run it as root, or in an init container with that capability");
    }
}
