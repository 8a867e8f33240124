using System.Collections.Frozen;
using Envoy.Config.Route.V3;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>RouteConfiguration: xDS to a route table whose clusters are names. Pure; 100,000 routes take well under a second.</summary>
internal static class RouteTableBuilder
{
    /// <summary>Builds a table. A name is needed unless the table is written inside a listener.</summary>
    public static RouteTable Build(RouteConfiguration proto, Field field)
    {
        Unsupported(proto, field);
        var domains = new Domains();
        var names = new HashSet<string>(StringComparer.Ordinal);
        var hosts = new VirtualHost[proto.VirtualHosts.Count];
        for (var i = 0; i < hosts.Length; i++)
        {
            var at = field.At("virtual_hosts", i);
            var host = proto.VirtualHosts[i];
            if (host.Name.Length == 0) at.Error("name", "is empty");
            else if (!names.Add(host.Name)) at.Error("name", $"\"{host.Name}\" is used twice");
            domains.Add(host, i, at);
            hosts[i] = Host(host, at);
        }

        return new RouteTable
        {
            Name = proto.Name,
            IgnorePort = proto.IgnorePortInHostMatching,
            Hosts = [.. hosts],
            Exact = domains.Exact.ToFrozenDictionary(StringComparer.OrdinalIgnoreCase),
            Suffixes = new DomainEnds(domains.Suffixes),
            Prefixes = new DomainEnds(domains.Prefixes),
            Any = domains.Any,
        };
    }

    private static void Unsupported(RouteConfiguration proto, Field field)
    {
        RouteBuilder.HeaderChanges(proto.RequestHeadersToAdd.Count, proto.RequestHeadersToRemove.Count, proto.ResponseHeadersToAdd.Count, proto.ResponseHeadersToRemove.Count, field);
        field.Unsupported(proto.RequestMirrorPolicies.Count > 0, "request_mirror_policies");
        field.Unsupported(proto.TypedPerFilterConfig.Count > 0, "typed_per_filter_config");
    }

    private static VirtualHost Host(Envoy.Config.Route.V3.VirtualHost proto, Field field)
    {
        RouteBuilder.HeaderChanges(proto.RequestHeadersToAdd.Count, proto.RequestHeadersToRemove.Count, proto.ResponseHeadersToAdd.Count, proto.ResponseHeadersToRemove.Count, field);
        field.Unsupported(proto.RequireTls != Envoy.Config.Route.V3.VirtualHost.Types.TlsRequirementType.None, "require_tls");
        field.Unsupported(proto.TypedPerFilterConfig.Count > 0, "typed_per_filter_config");
        field.Unsupported(proto.HedgePolicy is not null, "hedge_policy");
        field.Unsupported(proto.IncludeRequestAttemptCount, "include_request_attempt_count");
        var retry = RetryPolicyBuilder.Build(proto.RetryPolicy, field.At("retry_policy"));
        var routes = new Route[proto.Routes.Count];
        for (var i = 0; i < routes.Length; i++) routes[i] = RouteBuilder.Build(proto.Routes[i], retry, field.At("routes", i));
        return new VirtualHost { Name = proto.Name, Routes = [.. routes] };
    }

    /// <summary>The domains of one table, each once.</summary>
    private sealed class Domains
    {
        private readonly HashSet<string> all = new(StringComparer.OrdinalIgnoreCase);

        public Dictionary<string, int> Exact { get; } = new(StringComparer.OrdinalIgnoreCase);

        public List<(string Text, int Host)> Suffixes { get; } = [];

        public List<(string Text, int Host)> Prefixes { get; } = [];

        public int Any { get; private set; } = -1;

        public void Add(Envoy.Config.Route.V3.VirtualHost host, int index, Field field)
        {
            if (host.Domains.Count == 0) field.Error("domains", "is empty: at least one is needed");
            for (var i = 0; i < host.Domains.Count; i++) Add(host.Domains[i], index, field.At("domains", i));
        }

        private void Add(string domain, int index, Field field)
        {
            var star = domain.IndexOf('*');
            if (domain.Length == 0) field.Error("is empty");
            else if (star != domain.LastIndexOf('*') || (star > 0 && star < domain.Length - 1)) field.Error($"\"{domain}\": one * is allowed, at the beginning or the end");
            else if (!all.Add(domain)) field.Error($"\"{domain}\" is used twice in this RouteConfiguration: domains must be unique");
            else if (domain == "*") Any = index;
            else if (star == 0) Suffixes.Add((domain[1..], index));
            else if (star > 0) Prefixes.Add((domain[..^1], index));
            else Exact.Add(domain, index);
        }
    }
}
