using System.Collections.Immutable;
using Envoy.Config.Rbac.V3;
using Envoy.Config.Route.V3;
using Envoy.Type.Matcher.V3;
using Mesh.Api.Rbac.Conditions;

namespace Mesh.Api.Rbac.Reading;

/// <summary>Permissions and principals to conditions: everything or, with a problem, null. Pure; one for each layer.</summary>
internal sealed class RuleReader(RbacLayer layer)
{
    /// <summary>As many literals as make a set worth its memory.</summary>
    private const int WorthASet = 4;

    private readonly StringTests tests = new();

    /// <summary>True when a rule that was read looks at paths.</summary>
    public bool ReadsPath { get; private set; }

    /// <summary>True when a rule that was read looks at what only requests have.</summary>
    public bool ReadsRequests { get; private set; }

    public Condition? Of(Permission proto, Place place)
    {
        switch (proto.RuleCase)
        {
            case Permission.RuleOneofCase.AndRules: return Set(proto.AndRules.Rules, Of, place.At("and_rules"), "rules", all: true);
            case Permission.RuleOneofCase.OrRules: return Set(proto.OrRules.Rules, Of, place.At("or_rules"), "rules", all: false);
            case Permission.RuleOneofCase.NotRule: return Not(Of(proto.NotRule, place.At("not_rule")));
            case Permission.RuleOneofCase.Any: return Any(proto.Any, place.At("any"));
            case Permission.RuleOneofCase.Header: return Header(proto.Header, place.At("header"));
            case Permission.RuleOneofCase.UrlPath: return Path(proto.UrlPath, place.At("url_path"));
            case Permission.RuleOneofCase.DestinationIp: return Addresses.Of(proto.DestinationIp, source: false, place.At("destination_ip"));
            case Permission.RuleOneofCase.DestinationPort: return Addresses.OfPort(proto.DestinationPort, place.At("destination_port"));
            case Permission.RuleOneofCase.DestinationPortRange: return Addresses.OfPorts(proto.DestinationPortRange, place.At("destination_port_range"));
            case Permission.RuleOneofCase.Metadata: return Unsupported(place.At("metadata"), "there is no dynamic metadata here");
            case Permission.RuleOneofCase.RequestedServerName: return Unsupported(place.At("requested_server_name"), "the name a client asks for proves nothing");
            default: return Unsupported(place, "a permission needs a rule this version knows");
        }
    }

    public Condition? Of(Principal proto, Place place)
    {
        switch (proto.IdentifierCase)
        {
            case Principal.IdentifierOneofCase.AndIds: return Set(proto.AndIds.Ids, Of, place.At("and_ids"), "ids", all: true);
            case Principal.IdentifierOneofCase.OrIds: return Set(proto.OrIds.Ids, Of, place.At("or_ids"), "ids", all: false);
            case Principal.IdentifierOneofCase.NotId: return Not(Of(proto.NotId, place.At("not_id")));
            case Principal.IdentifierOneofCase.Any: return Any(proto.Any, place.At("any"));
            case Principal.IdentifierOneofCase.Header: return Header(proto.Header, place.At("header"));
            case Principal.IdentifierOneofCase.UrlPath: return Path(proto.UrlPath, place.At("url_path"));
            case Principal.IdentifierOneofCase.Authenticated: return Authenticated(proto.Authenticated, place.At("authenticated"));
            case Principal.IdentifierOneofCase.SourceIp: return Addresses.Of(proto.SourceIp, source: true, place.At("source_ip"));
            case Principal.IdentifierOneofCase.DirectRemoteIp: return Addresses.Of(proto.DirectRemoteIp, source: true, place.At("direct_remote_ip"));
            case Principal.IdentifierOneofCase.RemoteIp: return Unsupported(place.At("remote_ip"), "no peer's x-forwarded-for is trusted here: use direct_remote_ip");
            case Principal.IdentifierOneofCase.Metadata: return Unsupported(place.At("metadata"), "there is no dynamic metadata here");
            case Principal.IdentifierOneofCase.FilterState: return Unsupported(place.At("filter_state"), "there is no filter state here");
            default: return Unsupported(place, "a principal needs an identifier this version knows");
        }
    }

    /// <summary>One of several must hold; a list without any is refused.</summary>
    public Condition? OneOf<T>(IReadOnlyList<T> protos, Func<T, Place, Condition?> read, Place place, string field) => Set(protos, read, place, field, all: false);

    private static Condition? Unsupported(Place place, string why)
    {
        place.Unsupported(why);
        return null;
    }

    private static NotThat? Not(Condition? condition) => condition is null ? null : new NotThat(condition);

    private static Always? Any(bool any, Place place)
    {
        if (any) return new Always(Truth.Yes);
        place.Problem("must be true");
        return null;
    }

    private PrincipalIs? Authenticated(Principal.Types.Authenticated proto, Place place)
    {
        if (proto.PrincipalName is null) return new PrincipalIs(null);
        return tests.OfText(proto.PrincipalName, place.At("principal_name")) is { } test ? new PrincipalIs(test) : null;
    }

    private Condition? Header(HeaderMatcher proto, Place place)
    {
        if (layer == RbacLayer.Network) return Unsupported(place, "a TCP connection has no header");
        ReadsRequests = true;
        return HeaderConditions.Of(proto, tests, place);
    }

    private Condition? Path(PathMatcher proto, Place place)
    {
        if (layer == RbacLayer.Network) return Unsupported(place, "a TCP connection has no path");
        ReadsPath = ReadsRequests = true;
        return tests.OfPath(proto.Path, place.At("path")) is { } test ? new PathIs(test) : null;
    }

    private static Condition? Set<T>(IReadOnlyList<T> protos, Func<T, Place, Condition?> read, Place place, string field, bool all)
    {
        if (protos.Count == 0) place.At(field).Problem("is empty: at least one is needed");
        var conditions = new List<Condition>(protos.Count);
        for (var i = 0; i < protos.Count; i++)
        {
            if (read(protos[i], place.At(field, i)) is { } condition) conditions.Add(condition);
        }

        if (conditions.Count != protos.Count || protos.Count == 0) return null;
        if (!all) conditions = WithSets(conditions);
        if (conditions.Count == 1) return conditions[0];
        return all ? new AllOf([.. conditions]) : new AnyOf([.. conditions]);
    }

    /// <summary>Many literal paths or principals become one look into a set.</summary>
    private static List<Condition> WithSets(List<Condition> conditions)
    {
        var paths = conditions.OfType<PathIs>().Where(p => IsLiteral(p.Test)).Select(p => p.Test.Value).ToImmutableArray();
        var principals = conditions.OfType<PrincipalIs>().Where(p => IsLiteral(p.Test)).Select(p => p.Test!.Value).ToImmutableArray();
        if (paths.Length >= WorthASet)
        {
            conditions.RemoveAll(c => c is PathIs p && IsLiteral(p.Test));
            conditions.Insert(0, new PathIs(StringTest.OneOf(paths)));
        }

        if (principals.Length >= WorthASet)
        {
            conditions.RemoveAll(c => c is PrincipalIs p && IsLiteral(p.Test));
            conditions.Insert(0, new PrincipalIs(StringTest.OneOf(principals)));
        }

        return conditions;
    }

    private static bool IsLiteral(StringTest? test) => test is { Kind: StringTestKind.Exact, IgnoreCase: false };
}
