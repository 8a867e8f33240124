namespace Mesh.Sidecar.Capture;

/// <summary>What a rule needs of the kernel, for the day it is not there. Pure.</summary>
internal static class KernelParts
{
    private static readonly (string Word, string Missing)[] Parts =
    [
        ("tproxy", "this kernel has no TPROXY: --mode redirect does without"),
        ("TPROXY", "this kernel has no TPROXY: --mode redirect does without"),
        ("redirect", "this kernel has no NAT by redirection: connection tracking with NAT (nf_nat, nft_redir) is needed"),
        ("REDIRECT", "this kernel has no NAT by redirection: connection tracking with NAT (nf_nat, xt_REDIRECT) is needed"),
        ("type nat", "this kernel has no NAT: connection tracking with NAT (nf_nat) is needed"),
        ("cgroup", "there is no such cgroup, or this kernel cannot tell cgroups of sockets apart"),
        ("fib", "this kernel cannot ask its routes in rules (nft_fib)"),
        ("reject", "this kernel cannot refuse by rules (nft_reject)"),
        ("ct ", "this kernel has no connection tracking"),
    ];

    /// <summary>What is probably missing when the kernel does not know something in this line.</summary>
    public static string? Missing(string line) => Parts.Where(p => line.Contains(p.Word, StringComparison.Ordinal)).Select(p => p.Missing).FirstOrDefault();
}
