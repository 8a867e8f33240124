using System.Globalization;
using System.Text;
using static Mesh.Sidecar.Capture.Condition;

namespace Mesh.Sidecar.Capture;

/// <summary>A plan for a reader: what happens to what, and why. Pure.</summary>
internal static class PlanText
{
    /// <summary>The text.</summary>
    public static string Of(CapturePlan plan)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"options: {CaptureFlags.Write(plan.Options)}\n");
        foreach (var chain in plan.Chains)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n{chain.Name}: {Where(chain)}\n");
            foreach (var rule in chain.Rules) text.Append(CultureInfo.InvariantCulture, $"  {What(rule),-28} {Who(rule)}\n{"",31}because: {rule.Reason}\n");
        }

        text.Append("\nroutes\n");
        foreach (var route in plan.Routes)
        {
            var what = route.IsForAnswers ? $"marked {CapturePlan.TransparentMark}: {route.Network} is local (table {CapturePlan.RoutingTable})" : $"{route.Network} by lo";
            text.Append(CultureInfo.InvariantCulture, $"  {what}\n{"",31}because: {route.Reason}\n");
        }

        return text.Append("\nUDP other than DNS to the servers named is not captured.\n").ToString();
    }

    private static string Where(CaptureChain chain) => (chain.Table, chain.Hook) switch
    {
        (CaptureTable.Nat, CaptureHook.Output) => "first packets of connections that programs here open (nat output)",
        (CaptureTable.Nat, _) => "first packets of connections from elsewhere (nat prerouting)",
        (CaptureTable.Mangle, CaptureHook.Output) => "packets that programs here send (mangle output)",
        (CaptureTable.Mangle, _) => "packets from elsewhere (mangle prerouting)",
        (_, CaptureHook.Output) => "packets that programs here send, after NAT (filter output)",
        _ => "packets from elsewhere, after NAT (filter input)",
    };

    private static string What(CaptureRule rule) => rule.Verdict switch
    {
        Verdict.Leave => "leave",
        Verdict.Redirect => $"to the sidecar's {rule.Value}",
        Verdict.Tproxy => $"to the sidecar's {rule.Value}, as is",
        Verdict.Refuse => "refuse (reset)",
        Verdict.Reject => "refuse (prohibited)",
        Verdict.Drop => "drop",
        Verdict.MarkConnection => $"mark connection {rule.Value}",
        _ => $"mark packet {rule.Value}",
    };

    private static string Who(CaptureRule rule) => rule.Conditions.Length == 0 ? "everything" : string.Join(", ", rule.Conditions.Select(Say));

    private static string Say(Condition condition) => condition switch
    {
        IsTcp => "TCP",
        IsUdp => "UDP",
        NotTcp => "anything but TCP",
        ToPorts c => $"to port {string.Join(' ', c.Ports)}",
        To c => $"to {string.Join(' ', c.Networks)}",
        From c => $"from {string.Join(' ', c.Networks)}",
        Uids c => $"sent by uid {string.Join(' ', c.Ids)}",
        Gid c => $"sent by gid {c.Id}",
        InCgroup c => $"sent by cgroup {c.Path}",
        By c => $"by interface {string.Join(' ', c.Interfaces)}",
        NotByLoopback => "not by lo",
        ToOwn c => c.Yes ? "to this machine's address" : "to another machine's address",
        FromForeign => "from another machine's address",
        Opens c => c.Yes ? "opens a connection" : "does not open a connection",
        Redirected => "its destination rewritten",
        Invalid c => c.Yes ? "makes no sense to connection tracking" : "makes sense",
        IsReply => "an answer",
        ConnectionMark c => $"of a connection {(c.Yes ? "" : "not ")}marked {c.Mark}",
        _ => condition.ToString(),
    };
}
