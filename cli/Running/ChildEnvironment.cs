namespace Mesh.Cli.Running;

/// <summary>The environment variables that put a program's traffic on its sidecar. Stateless.</summary>
internal static class ChildEnvironment
{
    private static readonly string[] NotProxied = ["localhost", "127.0.0.1", "::1"];

    /// <summary>What the child gets on top of what it inherits; <paramref name="inherited"/> reads that.</summary>
    public static IEnumerable<KeyValuePair<string, string>> Of(RunOptions options, BoundPorts ports, Func<string, string?> inherited)
    {
        foreach (var variable in options.Capture is null ? Proxies(ports, inherited) : [])
            yield return variable;
        if (options.FirstPort is { } port)
            yield return new("PORT", port);
        yield return new("MESH_SERVICE", options.Service);
        yield return new("MESH_OUTBOUND", ports.Outbound);
        yield return new("MESH_ADMIN", "http://" + ports.Admin);
        foreach (var (service, address) in ports.Upstreams)
            yield return new("MESH_UPSTREAM_" + VariableName(service), address);
    }

    private static IEnumerable<KeyValuePair<string, string>> Proxies(BoundPorts ports, Func<string, string?> inherited)
    {
        var proxy = "http://" + ports.Outbound;
        foreach (var name in (string[])["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"])
            yield return new(name, proxy);

        var noProxy = (inherited("NO_PROXY") ?? inherited("no_proxy") ?? "")
            .Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Concat(NotProxied).Distinct(StringComparer.Ordinal);
        foreach (var name in (string[])["NO_PROXY", "no_proxy"])
            yield return new(name, string.Join(',', noProxy));
    }

    private static string VariableName(string service) =>
        string.Concat(service.ToUpperInvariant().Select(c => char.IsAsciiLetterOrDigit(c) ? c : '_'));
}
