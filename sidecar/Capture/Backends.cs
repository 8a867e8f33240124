namespace Mesh.Sidecar.Capture;

/// <summary>Which programs set rules here. Stateless.</summary>
internal static class Backends
{
    /// <summary>What iptables may be called: the plain name is whichever the system prefers, and need not be the one that works with this kernel.</summary>
    private static readonly string[] Variants = ["", "-legacy", "-nft"];

    /// <summary>The one asked for, or the first that works.</summary>
    public static ICaptureBackend Choose(CaptureBackend asked)
    {
        var nft = asked == CaptureBackend.Iptables ? "" : NftBackend.WhyNot();
        if (nft is null) return new NftBackend();
        var iptables = "";
        if (asked != CaptureBackend.Nft)
        {
            foreach (var variant in Variants)
            {
                if (IptablesBackend.WhyNot(variant) is not { } why) return new IptablesBackend(variant);
                if (iptables.Length == 0) iptables = why;
            }
        }

        throw new CaptureException($"{nft}{(nft.Length > 0 && iptables.Length > 0 ? ", and " : "")}{iptables}: one of nftables and iptables is needed, and a kernel with it");
    }

    /// <summary>All that work, each kind once: what the system calls iptables is one of two kinds, and the other may have rules, too.</summary>
    public static IEnumerable<ICaptureBackend> Working()
    {
        if (NftBackend.WhyNot() is null) yield return new NftBackend();
        var (works, isLegacy) = (IptablesBackend.WhyNot() is null, false);
        if (works)
        {
            yield return new IptablesBackend();
            isLegacy = new IptablesBackend().IsLegacy;
        }

        if ((!works || isLegacy) && IptablesBackend.WhyNot("-nft") is null) yield return new IptablesBackend("-nft");
        if ((!works || !isLegacy) && HasLegacyTables() && IptablesBackend.WhyNot("-legacy") is null) yield return new IptablesBackend("-legacy");
    }

    /// <summary>What is installed, and by which.</summary>
    public static (ICaptureBackend Backend, InstalledRules Rules)? Installed()
    {
        foreach (var backend in Working())
        {
            if (backend.Read() is { } rules) return (backend, rules);
        }

        return null;
    }

    /// <summary>Whether there are tables of legacy iptables, as far as this user may know; asking the program for them would make them.</summary>
    public static bool HasLegacyTables()
    {
        try
        {
            return new[] { "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names" }.Any(f => File.Exists(f) && File.ReadAllText(f).Length > 0);
        }
        catch (UnauthorizedAccessException)
        {
            return false;
        }
    }
}
