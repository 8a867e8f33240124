using Envoy.Config.Core.V3;
using Envoy.Config.Rbac.V3;
using Envoy.Config.Route.V3;
using Envoy.Type.Matcher.V3;

namespace Mesh.Api.Tests.Rbac;

/// <summary>
/// Random rules and requests over a small world, so that they meet. The same seed gives the same ones. <paramref name="plain"/>: only what every
/// implementation of RBAC reads alike: one reading of each request, in canonical form, by a local caller without identity.
/// </summary>
internal sealed class RandomRbac(int seed, bool plain = false)
{
    private static readonly string[] Segments = ["a", "b", "admin", "x y", "é", "A", ".w", "v1"];
    private static readonly string[] Written = ["/a", "/b", "/a/b", "/admin", "/admin/", "/a/admin", "/x y", "/v1/é", "/A", "/.w", "/"];
    private static readonly string[] Beginnings = ["/a", "/a/", "/ad", "/", "/v1/", "/b/a", "/x "];
    private static readonly string[] Ends = ["/b", "n", "admin", "/admin/", "é", "/"];
    private static readonly string[] Ids = ["spiffe://t/ns/shop/sa/cart", "spiffe://t/ns/shop/sa/web", "spiffe://t/ns/shop/sa/web2", "spiffe://t/ns/bank/sa/cart"];
    private static readonly string[] Addresses = ["10.0.0.1", "10.0.0.9", "10.1.0.1", "192.168.0.1", "fd00::1", "fd01::1"];
    private static readonly string[] LocalAddresses = ["127.0.0.1", "127.0.0.9", "126.0.0.1", "::1"];
    private readonly Random random = new(seed);

    public RBAC Rules()
    {
        var rules = new RBAC { Action = (RBAC.Types.Action)random.Next(3) };
        var count = random.Next(8) == 0 ? random.Next(200) : random.Next(14);
        var simple = random.Next(2) == 0;
        for (var i = 0; i < count; i++) rules.Policies[$"p{random.Next(1000)}"] = Policy(simple);
        return rules;
    }

    public (Decision Sent, NaiveRbac.Request Meant) Request()
    {
        var (target, paths) = Path();
        var headers = Enumerable.Range(0, random.Next(4)).Select(_ => (Name: One("x-a", "x-b"), One("1", "2", "12", ""))).ToArray();
        if (plain) headers = [.. headers.DistinctBy(h => h.Name)];
        var host = One("web", plain ? "web:80" : "Web:80", "admin.shop", "admin.shop:80");
        var dotted = !plain && random.Next(5) == 0 ? (host.Contains(':', StringComparison.Ordinal) ? host.Replace(":", ".:", StringComparison.Ordinal) : host + ".") : host;
        var sent = new Decision
        {
            Method = One("GET", "GET", "POST", "PUT"),
            Target = target,
            Authority = dotted,
            Headers = headers,
            Principal = plain || random.Next(4) == 0 ? null : One(Ids),
            Source = plain ? LocalAddresses[0] : One(Addresses),
            Destination = plain ? LocalAddresses[0] : One(Addresses),
            Port = random.Next(80, 84),
        };
        return (sent, new NaiveRbac.Request(sent.Method, paths, host, headers, sent.Principal, sent.Source, sent.Destination, sent.Port));
    }

    /// <summary>A path on the wire and what it means: made from its meaning, not read from the wire.</summary>
    private (string Target, string[] Readings) Path()
    {
        var (sent, exact, stripped) = ("", "", "");
        for (var i = random.Next(1, 4); i > 0; i--)
        {
            var segment = !plain && random.Next(12) == 0 ? "" : One(Segments);
            var parameter = !plain && random.Next(10) == 0 ? One(";", ";v=1", ";a;b") : "";
            sent += "/" + Encoded(segment) + parameter;
            exact += "/" + Canonical(segment) + parameter;
            stripped += "/" + Canonical(segment);
        }

        var readings = new[] { exact, stripped, Merged(exact), Merged(stripped) }.Distinct().ToArray();
        return (sent + One("", "", plain ? "?q=/a" : "?q=/a/../b;c"), readings);
    }

    private static string Canonical(string text) => text.Replace(" ", "%20", StringComparison.Ordinal).Replace("é", "%C3%A9", StringComparison.Ordinal);

    private string Encoded(string text) => plain ? Canonical(text) : string.Concat(text.Select(c => c switch
    {
        'é' => One("%c3%a9", "%C3%A9"),
        ' ' => "%20",
        _ when random.Next(6) == 0 => $"%{(int)c:x2}",
        _ => c.ToString(),
    }));

    /// <summary>As people write it; for others as it is on the wire.</summary>
    private string Wire(string text) => plain ? Canonical(text) : text;

    private static string Merged(string path)
    {
        while (path.Contains("//", StringComparison.Ordinal)) path = path.Replace("//", "/", StringComparison.Ordinal);
        return path;
    }

    private Policy Policy(bool simple)
    {
        var policy = new Policy();
        for (var i = random.Next(1, 4); i > 0; i--) policy.Permissions.Add(simple ? new Permission { UrlPath = Url() } : Permission(0));
        for (var i = random.Next(1, 4); i > 0; i--) policy.Principals.Add(simple ? new Principal { Authenticated = Id() } : Principal(0));
        return policy;
    }

    private Permission Permission(int depth) => random.Next(depth < 3 ? 12 : 8) switch
    {
        0 => new Permission { Any = true },
        1 or 2 => new Permission { UrlPath = Url() },
        3 or 4 => new Permission { Header = Header() },
        5 => new Permission { DestinationIp = Range() },
        6 => new Permission { DestinationPort = (uint)random.Next(80, 84) },
        7 => new Permission { DestinationPortRange = new Envoy.Type.V3.Int32Range { Start = random.Next(79, 82), End = random.Next(82, 85) } },
        8 => new Permission { NotRule = Permission(depth + 1) },
        9 or 10 => new Permission { AndRules = new Permission.Types.Set { Rules = { Many(() => Permission(depth + 1)) } } },
        _ => new Permission { OrRules = new Permission.Types.Set { Rules = { Many(() => Permission(depth + 1)) } } },
    };

    private Principal Principal(int depth) => random.Next(depth < 3 ? 12 : 8) switch
    {
        0 => new Principal { Any = true },
        1 or 2 or 3 => new Principal { Authenticated = Id() },
        4 => new Principal { SourceIp = Range() },
        5 => new Principal { DirectRemoteIp = Range() },
        6 => new Principal { Header = Header() },
        7 => new Principal { UrlPath = Url() },
        8 => new Principal { NotId = Principal(depth + 1) },
        9 or 10 => new Principal { AndIds = new Principal.Types.Set { Ids = { Many(() => Principal(depth + 1)) } } },
        _ => new Principal { OrIds = new Principal.Types.Set { Ids = { Many(() => Principal(depth + 1)) } } },
    };

    private Principal.Types.Authenticated Id() => random.Next(8) switch
    {
        0 => new Principal.Types.Authenticated(),
        1 => new Principal.Types.Authenticated { PrincipalName = new StringMatcher { Prefix = "spiffe://t/ns/shop/" } },
        2 => new Principal.Types.Authenticated { PrincipalName = new StringMatcher { SafeRegex = new RegexMatcher { Regex = ".*/sa/(cart|web)" } } },
        3 => new Principal.Types.Authenticated { PrincipalName = new StringMatcher { Suffix = "/sa/CART", IgnoreCase = true } },
        _ => new Principal.Types.Authenticated { PrincipalName = new StringMatcher { Exact = One(Ids) } },
    };

    private PathMatcher Url() => new()
    {
        Path = random.Next(8) switch
        {
            0 or 1 => new StringMatcher { Prefix = Wire(One(Beginnings)), IgnoreCase = random.Next(8) == 0 },
            2 => new StringMatcher { Suffix = Wire(One(Ends)), IgnoreCase = random.Next(8) == 0 },
            3 => new StringMatcher { Contains = Wire(One("a", "/b", "dm", "é")) },
            4 => new StringMatcher { SafeRegex = new RegexMatcher { Regex = One("/[^/]+", "/a(/.*)?", ".*admin.*", "/v1/%C3%A9") } },
            _ => new StringMatcher { Exact = Wire(One(Written)), IgnoreCase = random.Next(8) == 0 },
        },
    };

    private HeaderMatcher Header() => random.Next(6) switch
    {
        0 => new HeaderMatcher { Name = ":method", StringMatch = new StringMatcher { Exact = One("GET", "POST") }, InvertMatch = random.Next(3) == 0 },
        1 => new HeaderMatcher
        {
            Name = ":authority",
            StringMatch = random.Next(2) == 0 ? new StringMatcher { Exact = One("web", "admin.shop", "web:80") } : new StringMatcher { Prefix = One("admin.", "web:") },
            InvertMatch = random.Next(3) == 0,
        },
        2 => new HeaderMatcher { Name = One("x-a", "x-b"), PresentMatch = random.Next(2) == 0, InvertMatch = random.Next(3) == 0 },
        _ => new HeaderMatcher
        {
            Name = One("x-a", "x-b"),
            StringMatch = random.Next(3) == 0 ? new StringMatcher { Prefix = "1" } : new StringMatcher { Exact = One("1", "2", "1,2", "") },
            InvertMatch = random.Next(3) == 0,
            TreatMissingHeaderAsEmpty = random.Next(3) == 0,
        },
    };

    private CidrRange Range()
    {
        var address = One(plain ? LocalAddresses : Addresses);
        return new CidrRange { AddressPrefix = address, PrefixLen = address.Contains(':', StringComparison.Ordinal) ? One(0u, 16u, 128u) : One(0u, 8u, 16u, 24u, 30u, 32u) };
    }

    private IEnumerable<T> Many<T>(Func<T> make) => Enumerable.Range(0, random.Next(7) == 0 ? 6 : random.Next(1, 4)).Select(_ => make()).ToList();

    private T One<T>(params T[] of) => of[random.Next(of.Length)];
}
