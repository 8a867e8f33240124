using System.Text.Json;
using System.Text.RegularExpressions;
using Mesh.Api.Xds;
using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Admin;

/// <summary>GET /config_dump: the accepted xDS resources with their versions, by Envoy's shape. Secrets are named, never shown.</summary>
internal static class ConfigDumpPage
{
    private static readonly TimeSpan MatchLimit = TimeSpan.FromMilliseconds(200);

    /// <summary>One section a type: the dump's @type, its list, the wrapper inside an entry (Envoy nests listeners once more), the resource's key.</summary>
    private static readonly Section[] Sections =
    [
        new("envoy.config.cluster.v3.Cluster", "envoy.admin.v3.ClustersConfigDump", "dynamic_active_clusters", "", "cluster"),
        new("envoy.config.endpoint.v3.ClusterLoadAssignment", "envoy.admin.v3.EndpointsConfigDump", "dynamic_endpoint_configs", "", "endpoint_config"),
        new("envoy.config.listener.v3.Listener", "envoy.admin.v3.ListenersConfigDump", "dynamic_listeners", "active_state", "listener"),
        new("envoy.config.route.v3.RouteConfiguration", "envoy.admin.v3.RoutesConfigDump", "dynamic_route_configs", "", "route_config"),
        new(SecretType, "envoy.admin.v3.SecretsConfigDump", "dynamic_active_secrets", "", "secret"),
    ];

    private const string SecretType = "envoy.extensions.transport_sockets.tls.v3.Secret";

    /// <summary>Answers a request.</summary>
    public static Task AnswerAsync(HttpContext context, AdminSources sources)
    {
        Regex? names = null;
        string? pattern = context.Request.Query["name_regex"];
        try
        {
            if (!string.IsNullOrEmpty(pattern)) names = new Regex(pattern, RegexOptions.NonBacktracking, MatchLimit);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            return context.TextAsync(StatusCodes.Status400BadRequest, $"name_regex: {e.Message}\n");
        }

        var withEndpoints = context.Request.Query.ContainsKey("include_eds");
        var byType = sources.Accepted().Where(r => names?.IsMatch(r.Name) ?? true).ToLookup(r => TypeName(r.TypeUrl), StringComparer.Ordinal);
        var versions = sources.Snapshots.Current.Versions;
        return context.JsonAsync(json =>
        {
            json.WriteStartObject();
            json.WriteStartArray("configs");
            foreach (var section in Sections)
            {
                if (section.Type == "envoy.config.endpoint.v3.ClusterLoadAssignment" && !withEndpoints) continue;
                WriteSection(json, section, byType[section.Type], versions.GetValueOrDefault("type.googleapis.com/" + section.Type, ""));
            }

            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    private static void WriteSection(Utf8JsonWriter json, Section section, IEnumerable<AcceptedResource> resources, string version)
    {
        json.WriteStartObject();
        json.WriteString("@type", "type.googleapis.com/" + section.Dump);
        if (version.Length > 0) json.WriteString("version_info", version);
        json.WriteStartArray(section.List);
        foreach (var resource in resources.OrderBy(r => r.Name, StringComparer.Ordinal))
        {
            json.WriteStartObject();
            if (section.Wrapper.Length > 0 || section.Type == SecretType) json.WriteString("name", resource.Name);
            if (section.Wrapper.Length > 0) json.WriteStartObject(section.Wrapper);
            json.WriteString("version_info", resource.Version);
            json.WritePropertyName(section.Key);
            if (section.Type == SecretType) WriteSecret(json, resource.Name);
            else json.WriteRawValue(XdsJson.Format(resource.Message));
            if (section.Wrapper.Length > 0) json.WriteEndObject();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteSecret(Utf8JsonWriter json, string name)
    {
        json.WriteStartObject();
        json.WriteString("name", name);
        json.WriteString("redacted", "secrets are not shown");
        json.WriteEndObject();
    }

    private static string TypeName(string url) => url[(url.LastIndexOf('/') + 1)..];

    private sealed record Section(string Type, string Dump, string List, string Wrapper, string Key);
}
