using System.Collections.Immutable;
using System.Text.RegularExpressions;
using Envoy.Config.Rbac.V3;
using Envoy.Config.Route.V3;
using Mesh.Api.Rbac;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Rules.Documents;

namespace Mesh.ControlPlane.Rules.Policies;

/// <summary><c>when</c> of a rule of an AuthorizationPolicy. Pure but for the findings it adds.</summary>
internal static partial class AuthorizationConditionReader
{
    private const int MostConditions = 64;
    private const string Known =
        "request.headers[NAME], source.ip, source.namespace, source.serviceAccount, source.principal, destination.ip or destination.port";

    /// <summary>Reads <c>when</c>.</summary>
    public static ImmutableArray<CallCondition> When(Fields rule)
    {
        var conditions = ImmutableArray.CreateBuilder<CallCondition>();
        foreach (var item in rule.Objects("when", MostConditions))
        {
            item.Require("key", $"it says what to look at: {Known}");
            if (item.Text("key") is { } key && Attribute(item, key) is var (attribute, header))
            {
                conditions.Add(new CallCondition(attribute, header, PolicyFormats.Values(item, "values", "notValues", Problem(attribute))));
                if (!item.Has("values") && !item.Has("notValues")) item.Error("values", "is missing: give values or notValues");
            }
            else
            {
                _ = (item.Value("values"), item.Value("notValues"));
            }

            item.Done();
        }

        if (rule.Value("when") is SequenceNode { Items.Count: 0 }) rule.Error("when", "is empty: remove it, or say what must hold");
        return conditions.ToImmutable();
    }

    private static (CallAttribute Attribute, string Header)? Attribute(Fields item, string key)
    {
        var header = HeaderKey().Match(key);
        if (header.Success) return Header(item, header.Groups["name"].Value.ToLowerInvariant());
        CallAttribute? attribute = key switch
        {
            "source.ip" => CallAttribute.SourceIp,
            "source.namespace" => CallAttribute.SourceNamespace,
            "source.serviceAccount" => CallAttribute.SourceServiceAccount,
            "source.principal" => CallAttribute.SourcePrincipal,
            "destination.ip" => CallAttribute.DestinationIp,
            "destination.port" => CallAttribute.DestinationPort,
            _ => null,
        };
        if (attribute is { } known) return (known, "");
        if (key.StartsWith("request.auth.", StringComparison.Ordinal)) item.Error("key", $"{key}: conditions on JWTs are not supported yet");
        else if (key == "connection.sni") item.Error("key", "connection.sni: the name a client asks for proves nothing, and is not supported");
        else if (key == "remote.ip") item.Error("key", "remote.ip: addresses from X-Forwarded-For are not supported yet; source.ip is the address the connection comes from");
        else item.Error("key", $"must be {Known}, is \"{key}\"");
        return null;
    }

    // The engine that decides knows which fields have a meaning of their own on every hop; what it refuses is no use in a rule.
    private static (CallAttribute Attribute, string Header)? Header(Fields item, string name)
    {
        var problems = new List<string>();
        var condition = new Permission { Header = new HeaderMatcher { Name = name, PresentMatch = true } };
        var probe = new RBAC { Policies = { ["header"] = new Policy { Permissions = { condition }, Principals = { new Principal { Any = true } } } } };
        if (RbacEngine.Build(probe, RbacLayer.Http, problems) is not null) return (CallAttribute.RequestHeader, name);
        item.Error("key", problems[0][(problems[0].IndexOf(": ", StringComparison.Ordinal) + 2)..]);
        return null;
    }

    private static Func<string, string?> Problem(CallAttribute attribute) => attribute switch
    {
        CallAttribute.SourceIp or CallAttribute.DestinationIp => PolicyFormats.IpBlockProblem,
        CallAttribute.SourceNamespace => PolicyFormats.NamespaceProblem,
        CallAttribute.SourceServiceAccount => PolicyFormats.AccountProblem,
        CallAttribute.SourcePrincipal => PolicyFormats.PrincipalProblem,
        CallAttribute.DestinationPort => PolicyFormats.PortProblem,
        _ => PolicyFormats.TextProblem,
    };

    [GeneratedRegex(@"^request\.headers\[(?<name>[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256})\]$", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex HeaderKey();
}
