using System.Net;
using System.Text.RegularExpressions;
using Envoy.Config.Core.V3;
using Envoy.Config.Rbac.V3;
using Envoy.Config.Route.V3;
using Envoy.Type.Matcher.V3;

namespace Mesh.Api.Tests.Rbac;

/// <summary>
/// RBAC as its documentation reads, straight over the messages and without a thought for speed: for every rule two questions, whether it can
/// hold (for some reading) and whether it must (for all). Shares nothing with the engine.
/// </summary>
internal sealed class NaiveRbac(RBAC rules)
{
    /// <summary>A request with all it may be read as.</summary>
    public sealed record Request(string Method, string[] Paths, string Host, (string Name, string Value)[] Headers, string? Id, string From, string To, int Port);

    public (bool Allowed, string? Policy) Decide(Request r)
    {
        var names = rules.Policies.Keys.ToList();
        names.Sort(string.CompareOrdinal);
        var allow = rules.Action == RBAC.Types.Action.Allow;
        var first = names.Find(n => Both(rules.Policies[n]) is var (can, must) && (allow ? must : can));
        return (allow ? first is not null : rules.Action == RBAC.Types.Action.Log || first is null, first);

        (bool Can, bool Must) Both(Policy p)
        {
            var what = p.Permissions.Select(x => Holds(x, r)).ToList();
            var who = p.Principals.Select(x => Holds(x, r)).ToList();
            return (what.Exists(x => x.Can) && who.Exists(x => x.Can), what.Exists(x => x.Must) && who.Exists(x => x.Must));
        }
    }

    private static (bool Can, bool Must) Holds(Permission p, Request r) => p.RuleCase switch
    {
        Permission.RuleOneofCase.AndRules => All(p.AndRules.Rules.Select(x => Holds(x, r))),
        Permission.RuleOneofCase.OrRules => Any(p.OrRules.Rules.Select(x => Holds(x, r))),
        Permission.RuleOneofCase.NotRule => Not(Holds(p.NotRule, r)),
        Permission.RuleOneofCase.Any => (true, true),
        Permission.RuleOneofCase.Header => Header(p.Header, r),
        Permission.RuleOneofCase.UrlPath => Each(r.Paths, OnTheWire(p.UrlPath.Path)),
        Permission.RuleOneofCase.DestinationIp => Same(InRange(r.To, p.DestinationIp)),
        Permission.RuleOneofCase.DestinationPort => Same(r.Port == p.DestinationPort),
        Permission.RuleOneofCase.DestinationPortRange => Same(r.Port >= p.DestinationPortRange.Start && r.Port < p.DestinationPortRange.End),
        _ => throw new InvalidOperationException(p.RuleCase.ToString()),
    };

    private static (bool Can, bool Must) Holds(Principal p, Request r) => p.IdentifierCase switch
    {
        Principal.IdentifierOneofCase.AndIds => All(p.AndIds.Ids.Select(x => Holds(x, r))),
        Principal.IdentifierOneofCase.OrIds => Any(p.OrIds.Ids.Select(x => Holds(x, r))),
        Principal.IdentifierOneofCase.NotId => Not(Holds(p.NotId, r)),
        Principal.IdentifierOneofCase.Any => (true, true),
        Principal.IdentifierOneofCase.Header => Header(p.Header, r),
        Principal.IdentifierOneofCase.UrlPath => Each(r.Paths, OnTheWire(p.UrlPath.Path)),
        Principal.IdentifierOneofCase.Authenticated => Same(r.Id is not null && (p.Authenticated.PrincipalName is null || Matches(r.Id, p.Authenticated.PrincipalName))),
        Principal.IdentifierOneofCase.SourceIp => Same(InRange(r.From, p.SourceIp)),
        Principal.IdentifierOneofCase.DirectRemoteIp => Same(InRange(r.From, p.DirectRemoteIp)),
        _ => throw new InvalidOperationException(p.IdentifierCase.ToString()),
    };

    private static (bool Can, bool Must) Header(HeaderMatcher h, Request r)
    {
        if (h.Name == ":method") return Flip(h, Same(Matches(r.Method, h.StringMatch)));
        if (h.Name == ":authority") return Flip(h, Same(Matches(r.Host.ToLowerInvariant(), h.StringMatch)));
        var values = r.Headers.Where(x => x.Name == h.Name).Select(x => x.Value).ToList();
        if (h.HeaderMatchSpecifierCase == HeaderMatcher.HeaderMatchSpecifierOneofCase.PresentMatch) return Same(values.Count > 0 == h.PresentMatch != h.InvertMatch);
        if (values.Count == 0 && !h.TreatMissingHeaderAsEmpty) return (false, false);
        var readings = values.Append(string.Join(",", values)).ToArray();
        return Flip(h, Each(readings, h.StringMatch));
    }

    private static (bool Can, bool Must) Flip(HeaderMatcher h, (bool Can, bool Must) held) => h.InvertMatch ? Not(held) : held;

    private static (bool Can, bool Must) Each(string[] readings, StringMatcher m) => (readings.Any(x => Matches(x, m)), readings.All(x => Matches(x, m)));

    private static bool Matches(string value, StringMatcher m)
    {
        if (m.SafeRegex is { } regex) return Regex.Match(value, regex.Regex) is { Success: true, Index: 0 } match && match.Length == value.Length;
        var (text, pattern) = m.IgnoreCase ? (value.ToLowerInvariant(), (m.Exact + m.Prefix + m.Suffix + m.Contains).ToLowerInvariant()) : (value, m.Exact + m.Prefix + m.Suffix + m.Contains);
        if (m.HasPrefix) return text.Length >= pattern.Length && text[..pattern.Length] == pattern;
        if (m.HasSuffix) return text.Length >= pattern.Length && text[^pattern.Length..] == pattern;
        return m.HasContains ? text.Split(pattern).Length > 1 : text == pattern;
    }

    /// <summary>Rules are written as people write paths.</summary>
    private static StringMatcher OnTheWire(StringMatcher written)
    {
        var wire = written.Clone();
        if (wire.HasExact) wire.Exact = Escape(wire.Exact);
        if (wire.HasPrefix) wire.Prefix = Escape(wire.Prefix);
        if (wire.HasSuffix) wire.Suffix = Escape(wire.Suffix);
        if (wire.HasContains) wire.Contains = Escape(wire.Contains);
        return wire;

        static string Escape(string text) => text.Replace(" ", "%20", StringComparison.Ordinal).Replace("é", "%C3%A9", StringComparison.Ordinal);
    }

    private static bool InRange(string address, CidrRange range)
    {
        var (one, other) = (Bits(address), Bits(range.AddressPrefix));
        var length = (int)range.PrefixLen!.Value;
        return one.Length == other.Length && one[..length] == other[..length];
    }

    private static string Bits(string address) =>
        string.Concat(IPAddress.Parse(address).GetAddressBytes().Select(b => Convert.ToString(b, 2).PadLeft(8, '0')));

    private static (bool Can, bool Must) Same(bool holds) => (holds, holds);

    private static (bool Can, bool Must) Not((bool Can, bool Must) held) => (!held.Must, !held.Can);

    private static (bool Can, bool Must) All(IEnumerable<(bool Can, bool Must)> all) => all.Aggregate((true, true), (a, b) => (a.Item1 && b.Can, a.Item2 && b.Must));

    private static (bool Can, bool Must) Any(IEnumerable<(bool Can, bool Must)> all) => all.Aggregate((false, false), (a, b) => (a.Item1 || b.Can, a.Item2 || b.Must));
}
