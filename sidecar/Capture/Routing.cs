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
    private static readonly string Mine = CapturePlan.RoutingTable.ToString(System.Globalization.CultureInfo.InvariantCulture);
    private static readonly string Mark = $"0x{CapturePlan.TransparentMark:x}";

    /// <summary>Makes what is missing and removes what is too much; says what it did.</summary>
    public static IReadOnlyList<string> Apply(CapturePlan plan)
    {
        var done = new List<string>();
        foreach (var family in Families())
        {
            var wanted = plan.Routes.Where(r => r.Network.BaseAddress.AddressFamily == family).ToList();
            var there = Read(family);
            foreach (var route in there.Where(t => !wanted.Any(w => Same(w, t)))) Do(family, "del", route, done);
            foreach (var route in wanted.Where(w => !there.Any(t => Same(w, t)))) Do(family, "add", route, done);
        }

        return done;
    }

    /// <summary>What of the plan is not there.</summary>
    public static IEnumerable<CaptureRoute> Missing(CapturePlan plan) => plan.Routes
        .GroupBy(r => r.Network.BaseAddress.AddressFamily)
        .SelectMany(g => { var there = Read(g.Key); return g.Where(w => !there.Any(t => Same(w, t))); });

    /// <summary>Removes all that is ours.</summary>
    public static IReadOnlyList<string> Remove() => Apply(new CapturePlan(new CaptureOptions(), [], []));

    private static IEnumerable<AddressFamily> Families()
    {
        yield return AddressFamily.InterNetwork;
        if (CaptureSystem.HasIpv6) yield return AddressFamily.InterNetworkV6;
    }

    private static bool Same(CaptureRoute wanted, CaptureRoute there) => wanted.Network == there.Network && wanted.IsForAnswers == there.IsForAnswers;

    /// <summary>Ours, of the main table and of our own; a route for answers counts only with its routing rule.</summary>
    private static List<CaptureRoute> Read(AddressFamily family)
    {
        var found = Rows(family, ["route", "show", "proto", Mine], r => Network(r, family) is { } network ? new CaptureRoute(network, false, "") : null);
        var rules = Rows(family, ["rule", "show"], r => IsOurs(r) ? new CaptureRoute(Default(family), true, "") : null);
        var table = Rows(family, ["route", "show", "table", Mine, "proto", Mine], r => Network(r, family) is { } network ? new CaptureRoute(network, true, "") : null);
        // Half of it is treated as none: adding replaces.
        if (rules.Count == 1 && table.Count == 1) found.Add(table[0]);
        else if (rules.Count + table.Count > 0) found.Add(new CaptureRoute(Half(family), true, ""));
        return found;
    }

    private static bool IsOurs(JsonElement rule) =>
        rule.TryGetProperty("fwmark", out var mark) && mark.GetString() == Mark && rule.TryGetProperty("protocol", out var protocol) && protocol.ToString() == Mine;

    private static void Do(AddressFamily family, string verb, CaptureRoute route, List<string> done)
    {
        if (!route.IsForAnswers)
        {
            Must(family, ["route", verb, route.Network.ToString(), "dev", "lo", "proto", Mine, "metric", "1337"]);
            done.Add($"route {route.Network} dev lo: {(verb == "add" ? "added" : "removed")}");
            return;
        }

        // Removal of either half; none of it may be there.
        for (var i = 0; i < 8 && Ip(family, ["rule", "del", "fwmark", Mark, "lookup", Mine, "protocol", Mine]).ExitCode == 0; i++)
        {
        }

        Ip(family, ["route", "flush", "table", Mine, "proto", Mine]);
        if (verb == "add")
        {
            Must(family, ["route", "add", "local", "default", "dev", "lo", "table", Mine, "proto", Mine]);
            Must(family, ["rule", "add", "fwmark", Mark, "lookup", Mine, "protocol", Mine]);
        }

        done.Add($"routing rule for mark {Mark} ({(family == AddressFamily.InterNetwork ? "IPv4" : "IPv6")}): {(verb == "add" ? "added" : "removed")}");
    }

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
        if (answer.ExitCode != 0 || answer.Output.Trim().Length == 0) return [];
        using var document = JsonDocument.Parse(answer.Output);
        return document.RootElement.EnumerateArray().Select(read).OfType<CaptureRoute>().ToList();
    }

    private static CommandResult Ip(AddressFamily family, string[] arguments) =>
        ExternalCommand.Run("ip", [family == AddressFamily.InterNetwork ? "-4" : "-6", .. arguments]);

    private static void Must(AddressFamily family, string[] arguments)
    {
        var answer = Ip(family, arguments);
        if (answer.ExitCode != 0) throw new CaptureException($"ip {string.Join(' ', arguments)}: {answer.Error.Trim()}");
    }
}
