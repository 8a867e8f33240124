using System.Net;
using System.Net.Sockets;
using System.Text.Json;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// The routes and routing rules of a plan, by <c>ip</c>. Ours carry a protocol number of their own, so that others' are never mistaken for them.
/// Stateless.
/// </summary>
internal static class Routing
{
    private const int Metric = 1337;
    private const int Priority = 1337;
    private static readonly string Mine = CapturePlan.RoutingTable.ToString(System.Globalization.CultureInfo.InvariantCulture);
    private static readonly string[] ByLoopback = ["dev", "lo", "proto", Mine, "metric", $"{Metric}"];
    private static readonly string Mark = $"0x{CapturePlan.TransparentMark:x}";

    /// <summary>Makes what is missing, and notes what it made, also when it fails half way.</summary>
    public static void Add(CapturePlan plan, List<CaptureRoute> added)
    {
        foreach (var route in Missing(plan))
        {
            added.Add(route);
            if (route.IsForAnswers) Delete(route);
            Add(route);
        }
    }

    /// <summary>What of the plan is not there; of IPv6 only where it is in use, else there can be none.</summary>
    public static List<CaptureRoute> Missing(CapturePlan plan) =>
        [.. plan.Routes.Where(r => CaptureSystem.HasIpv6 || r.Network.BaseAddress.AddressFamily == AddressFamily.InterNetwork).GroupBy(r => r.Network.BaseAddress.AddressFamily).SelectMany(g => { var there = Read(g.Key); return g.Where(w => !there.Any(w.IsSame)); })];

    /// <summary>Removes those of ours that are meant; returns them.</summary>
    public static List<CaptureRoute> Remove(Func<CaptureRoute, bool> isMeant)
    {
        var meant = Families().SelectMany(Read).Where(isMeant).ToList();
        foreach (var route in meant) Delete(route);
        var left = meant.Count == 0 ? null : Families().SelectMany(Read).FirstOrDefault(isMeant);
        return left is null ? meant : throw new CaptureException($"{left.Name} cannot be removed");
    }

    /// <summary>Takes back what was added, as far as it was.</summary>
    public static void Undo(IEnumerable<CaptureRoute> added)
    {
        foreach (var route in added) Delete(route);
    }

    private static IEnumerable<AddressFamily> Families()
    {
        yield return AddressFamily.InterNetwork;
        if (CaptureSystem.KnowsIpv6) yield return AddressFamily.InterNetworkV6;
    }

    /// <summary>Ours, of the main table and of our own; a route for answers counts only with its routing rule.</summary>
    private static List<CaptureRoute> Read(AddressFamily family)
    {
        var found = Rows(family, ["route", "show", "proto", Mine], r => IsByLoopback(r) && Network(r, family) is { } network ? new CaptureRoute(network, false, "") : null);
        var rules = Rows(family, ["rule", "show"], r => IsOurs(r) ? new CaptureRoute(Default(family), true, "") : null);
        var table = Rows(family, ["route", "show", "table", Mine, "proto", Mine], r => Network(r, family) is { } network ? new CaptureRoute(network, true, "") : null);
        // Half of it is treated as none: adding replaces.
        if (rules.Count == 1 && table.Count == 1) found.Add(table[0]);
        else if (rules.Count + table.Count > 0) found.Add(new CaptureRoute(Half(family), true, ""));
        return found;
    }

    private static bool IsByLoopback(JsonElement route) =>
        route.TryGetProperty("dev", out var device) && device.GetString() == "lo" && route.TryGetProperty("metric", out var metric) && metric.GetInt32() == Metric;

    private static bool IsOurs(JsonElement rule) =>
        rule.TryGetProperty("fwmark", out var mark) && mark.GetString() == Mark && rule.TryGetProperty("protocol", out var protocol) && protocol.ToString() == Mine;

    private static void Add(CaptureRoute route)
    {
        var family = route.Network.BaseAddress.AddressFamily;
        if (!route.IsForAnswers)
        {
            Must(family, ["route", "replace", route.Network.ToString(), .. ByLoopback, .. Source(family)]);
            return;
        }

        Must(family, ["route", "replace", "local", "default", "dev", "lo", "table", Mine, "proto", Mine]);
        // In front of what VPNs add later, which is for all packets but their own.
        Must(family, ["rule", "add", "priority", $"{Priority}", "fwmark", Mark, "lookup", Mine, "protocol", Mine]);
    }

    private static void Delete(CaptureRoute route)
    {
        var family = route.Network.BaseAddress.AddressFamily;
        if (!route.IsForAnswers)
        {
            Ip(family, ["route", "del", route.Network.ToString(), .. ByLoopback]);
            return;
        }

        // Either half may be missing, and the rule there twice.
        for (var i = 0; i < 8 && Ip(family, ["rule", "del", "fwmark", Mark, "lookup", Mine, "protocol", Mine]).ExitCode == 0; i++)
        {
        }

        Ip(family, ["route", "flush", "table", Mine, "proto", Mine]);
    }

    /// <summary>A machine without any IPv4 address has nothing to send from but loopback, which the kernel has to be told.</summary>
    private static string[] Source(AddressFamily family) =>
        family == AddressFamily.InterNetwork && !Must(family, ["-o", "addr", "show"]).Split('\n').Any(l => l.Length > 0 && !l.Contains(" scope host ", StringComparison.Ordinal)) ? ["src", "127.0.0.1"] : [];

    private static IPNetwork Default(AddressFamily family) => new(family == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, 0);

    /// <summary>Stands for an incomplete pair of rule and route; no plan wants it.</summary>
    private static IPNetwork Half(AddressFamily family) => new(family == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, 1);

    private static IPNetwork? Network(JsonElement route, AddressFamily family)
    {
        var text = route.TryGetProperty("dst", out var dst) ? dst.GetString() ?? "" : "";
        if (text == "default") return Default(family);
        if (IPNetwork.TryParse(text, out var network)) return network;
        return IPAddress.TryParse(text, out var address) ? new IPNetwork(address, address.GetAddressBytes().Length * 8) : null;
    }

    private static List<CaptureRoute> Rows(AddressFamily family, string[] arguments, Func<JsonElement, CaptureRoute?> read)
    {
        var answer = Ip(family, ["-d", "-j", .. arguments]);
        // A table that nobody has used yet is an error to some versions.
        if (answer.ExitCode != 0 && answer.Error.Contains("FIB table", StringComparison.Ordinal)) return [];
        try
        {
            if (answer.ExitCode != 0) throw new CaptureException($"ip does not list routes: {answer.Error.Trim()} (iproute2 with -j is needed; busybox has none)");
            if (answer.Output.Trim().Length == 0) return [];
            using var document = JsonDocument.Parse(answer.Output);
            return document.RootElement.EnumerateArray().Select(read).OfType<CaptureRoute>().ToList();
        }
        catch (JsonException)
        {
            throw new CaptureException($"ip lists routes in a way that cannot be read: {answer.Output}");
        }
    }

    private static CommandResult Ip(AddressFamily family, string[] arguments) =>
        ExternalCommand.Run("ip", [family == AddressFamily.InterNetwork ? "-4" : "-6", .. arguments]);

    private static string Must(AddressFamily family, string[] arguments)
    {
        var answer = Ip(family, arguments);
        if (answer.ExitCode == 0) return answer.Output;
        var advice = answer.Error.Contains("not up", StringComparison.Ordinal) ? ": nothing is captured while lo is down (ip link set lo up)"
            : answer.Error.Contains("IPv6 is disabled", StringComparison.Ordinal) ? ": capture needs IPv6 on lo where it is on elsewhere (sysctl -w net.ipv6.conf.lo.disable_ipv6=0); --ipv6 off leaves it alone"
            : "";
        throw new CaptureException($"ip {string.Join(' ', arguments)}: {answer.Error.Trim()}{advice}");
    }
}
