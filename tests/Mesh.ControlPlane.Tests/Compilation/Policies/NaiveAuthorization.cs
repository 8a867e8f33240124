using System.Net;
using System.Text.RegularExpressions;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Tests.Compilation.Policies;

/// <summary>
/// Decides calls by policies as the documentation says it, one word after the other and as slow as it likes: DENY, then ALLOW; what looks
/// at HTTP never matches a connection, and is left out of DENY rules. Shares nothing with the compiler.
/// </summary>
internal static class NaiveAuthorization
{
    private const string Domain = "cluster.local";

    public static bool Allows(IReadOnlyList<AuthorizationPolicy> policies, Call call)
    {
        var enforced = policies.Where(policy => !policy.DryRun).ToArray();
        if (enforced.Any(policy => policy.Action == PolicyAction.Deny && Matches(policy, call))) return false;
        var allows = enforced.Where(policy => policy.Action == PolicyAction.Allow).ToArray();
        return allows.Length == 0 || allows.Any(policy => Matches(policy, call));
    }

    public static bool Matches(AuthorizationPolicy policy, Call call) => policy.Rules.Any(rule =>
        (rule.From.IsEmpty || rule.From.Any(source => Matches(source, rule.Source.Namespace, call)))
        && (rule.To.IsEmpty || rule.To.Any(operation => Matches(operation, policy.Action, call)))
        && rule.When.All(condition => Matches(condition, rule.Source.Namespace, policy.Action, call)));

    private static bool Matches(CallSource source, string ns, Call call) =>
        Is(source.Principals, text => Principal(text, call)) && Is(source.Namespaces, text => Namespace(text, call))
        && Is(source.ServiceAccounts, text => Account(text, ns, call)) && Is(source.IpBlocks, text => Block(text, call.SourceIp));

    private static bool Matches(CallOperation operation, PolicyAction action, Call call)
    {
        if (!Is(operation.Ports, text => text == call.Port.ToString())) return false;
        if (!call.IsHttp) return operation is { Hosts.IsEmpty: true, Methods.IsEmpty: true, Paths.IsEmpty: true } || action == PolicyAction.Deny;
        return Is(operation.Hosts, text => Host(text, call.Host)) && Is(operation.Methods, text => Pattern(text, call.Method)) && Is(operation.Paths, text => Path(text, call.Path));
    }

    private static bool Matches(CallCondition condition, string ns, PolicyAction action, Call call) => condition.Attribute switch
    {
        CallAttribute.RequestHeader => call.IsHttp ? Is(condition.Values, text => call.Header is not null && Pattern(text, call.Header)) : action == PolicyAction.Deny,
        CallAttribute.SourceIp => Is(condition.Values, text => Block(text, call.SourceIp)),
        CallAttribute.DestinationIp => Is(condition.Values, text => Block(text, call.DestinationIp)),
        CallAttribute.DestinationPort => Is(condition.Values, text => text == call.Port.ToString()),
        CallAttribute.SourceNamespace => Is(condition.Values, text => Namespace(text, call)),
        CallAttribute.SourceServiceAccount => Is(condition.Values, text => Account(text, ns, call)),
        _ => Is(condition.Values, text => Principal(text, call)),
    };

    private static bool Is(Values values, Func<string, bool> test) => (values.Any.IsEmpty || values.Any.Any(test)) && !values.Not.Any(test);

    private static bool Principal(string text, Call call) => call.Principal is { } id && Pattern(text.Replace("spiffe://", ""), id["spiffe://".Length..]);

    private static bool Namespace(string text, Call call) =>
        call.Principal is { } id && id.Split('/') is [_, _, Domain, "ns", var ns, "sa", _] && Pattern(text, ns);

    private static bool Account(string text, string ns, Call call) =>
        call.Principal == $"spiffe://{Domain}/ns/{(text.Contains('/') ? text.Split('/')[0] : ns)}/sa/{text.Split('/')[^1]}";

    private static bool Block(string text, string address) =>
        text.Contains('/') ? IPNetwork.Parse(text).Contains(IPAddress.Parse(address)) : IPAddress.Parse(text).Equals(IPAddress.Parse(address));

    private static bool Host(string text, string host)
    {
        (text, host) = (text.ToLowerInvariant(), host.ToLowerInvariant());
        return Pattern(text, host) || (!text.Contains(':') && !text.EndsWith('*') && Pattern(text, host.Split(':')[0]));
    }

    private static bool Path(string text, string path) => text.Contains('{')
        ? Regex.IsMatch(path, "^" + text.Replace("{**}", "(.*)").Replace("{*}", "([^/]+)") + "$")
        : Pattern(text, path);

    private static bool Pattern(string text, string value)
    {
        if (text == "*") return value.Length > 0;
        if (text.StartsWith('*')) return value.EndsWith(text[1..], StringComparison.Ordinal);
        return text.EndsWith('*') ? value.StartsWith(text[..^1], StringComparison.Ordinal) : value == text;
    }
}
