using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Rbac;
using HttpRbac = Envoy.Extensions.Filters.Http.Rbac.V3.RBAC;
using NetworkRbac = Envoy.Extensions.Filters.Network.Rbac.V3.RBAC;
using Rules = Envoy.Config.Rbac.V3.RBAC;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>
/// RBAC filters: xDS to compiled rules. Everything in them is understood or refused, unknown fields too: a rule that was skipped could have
/// been the one that keeps somebody out. Pure.
/// </summary>
internal static class AuthorizationBuilder
{
    /// <summary>An RBAC filter of an HTTP connection manager.</summary>
    public static AuthorizationFilter? Http(string name, Any config, Field field)
    {
        if (field.UnpackStrictly(config, HttpRbac.Parser) is not { } proto) return null;
        return Filter(name, proto.Rules, proto.ShadowRules, RbacLayer.Http, field);
    }

    /// <summary>
    /// An RBAC filter of a chain. Before a connection manager it is asked for each request, like those inside. Its enforcement type says how
    /// often bytes are looked at; the rules look at none, and a connection stays who it is.
    /// </summary>
    public static AuthorizationFilter? Network(string name, Any config, Field field)
    {
        if (field.UnpackStrictly(config, NetworkRbac.Parser) is not { } proto) return null;
        return Filter(name, proto.Rules, proto.ShadowRules, RbacLayer.Network, field);
    }

    private static AuthorizationFilter Filter(string name, Rules? rules, Rules? shadow, RbacLayer layer, Field field) =>
        new(name, Engine(rules, layer, field.At("rules")), Engine(shadow, layer, field.At("shadow_rules")));

    private static RbacEngine? Engine(Rules? rules, RbacLayer layer, Field field)
    {
        if (rules is null) return null;
        var problems = new List<string>();
        var engine = RbacEngine.Build(rules, layer, problems);
        foreach (var problem in problems) field.Error(problem);
        return engine;
    }
}
