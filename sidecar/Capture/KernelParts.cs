using System.Text.RegularExpressions;

namespace Mesh.Sidecar.Capture;

/// <summary>What a rule needs of the kernel, for the day it is not there. Pure.</summary>
internal static partial class KernelParts
{
    private static readonly (string Word, string Missing)[] Parts =
    [
        ("cgroup", "there is no such cgroup below /sys/fs/cgroup, or this kernel cannot tell sockets by cgroup"),
        ("tproxy", "this kernel has no TPROXY: --mode redirect does without"),
        ("TPROXY", "this kernel has no TPROXY: --mode redirect does without"),
        ("redirect", "this kernel has no NAT by redirection: connection tracking with NAT (nf_nat, nft_redir) is needed"),
        ("REDIRECT", "this kernel has no NAT by redirection: connection tracking with NAT (nf_nat, xt_REDIRECT) is needed"),
        ("type nat", "this kernel has no NAT: connection tracking with NAT (nf_nat) is needed"),
        ("fib", "this kernel cannot ask its routes in rules (nft_fib)"),
        ("reject", "this kernel cannot refuse by rules (nft_reject)"),
        ("ct ", "this kernel has no connection tracking"),
    ];

    /// <summary>What is probably missing when the kernel does not know something in this line.</summary>
    public static string? Missing(string line)
    {
        var code = Comment().Replace(line, "");
        return Parts.Where(p => code.Contains(p.Word, StringComparison.Ordinal)).Select(p => p.Missing).FirstOrDefault();
    }

    [GeneratedRegex("comment \"[^\"]*\"", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Comment();
}
