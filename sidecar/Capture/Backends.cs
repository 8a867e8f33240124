namespace Mesh.Sidecar.Capture;

/// <summary>Which program sets rules here. Stateless.</summary>
internal static class Backends
{
    /// <summary>The one asked for, or the first that works.</summary>
    public static ICaptureBackend Choose(CaptureBackend asked)
    {
        var nft = NftBackend.WhyNot();
        if (asked != CaptureBackend.Iptables && nft is null) return new NftBackend();
        throw new CaptureException(nft!);
    }

    /// <summary>All that work.</summary>
    public static IEnumerable<ICaptureBackend> Working()
    {
        if (NftBackend.WhyNot() is null) yield return new NftBackend();
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
}
