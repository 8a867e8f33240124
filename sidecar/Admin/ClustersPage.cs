using System.Globalization;
using System.Text;
using System.Text.Json;
using Mesh.Sidecar.Config;
using Microsoft.AspNetCore.Http;
using Endpoint = Mesh.Sidecar.Balancing.Endpoint;

namespace Mesh.Sidecar.Admin;

/// <summary>GET /clusters: every endpoint of the snapshot with its live state, as Envoy's text or JSON.</summary>
internal static class ClustersPage
{
    /// <summary>Answers a request.</summary>
    public static Task AnswerAsync(HttpContext context, AdminSources sources)
    {
        var clusters = sources.Snapshots.Current.Clusters;
        var now = sources.Time.GetTimestamp();
        return context.Request.WantsJson()
            ? context.JsonAsync(json => WriteJson(json, clusters, now))
            : context.TextAsync(StatusCodes.Status200OK, AsText(clusters, now));
    }

    private static string AsText(IEnumerable<Cluster> clusters, long now)
    {
        var text = new StringBuilder();
        foreach (var cluster in clusters)
        {
            Line(cluster.Name, "policy", cluster.Policy);
            if (cluster.Source.Length > 0) Line(cluster.Name, "source", cluster.Source);
            foreach (var endpoint in cluster.Endpoints)
            {
                var name = $"{cluster.Name}::{endpoint.Authority}";
                Line(name, "health_flags", IsOut(endpoint, now) ? "/failed_outlier_check" : "healthy");
                Line(name, "weight", endpoint.Weight);
                Line(name, "priority", endpoint.Priority);
                Line(name, "rq_active", endpoint.Stats.Active);
                Line(name, "workload", endpoint.Peer.Workload);
                Line(name, "version", endpoint.Peer.Version);
            }
        }

        return text.ToString();

        void Line(string name, string key, object value) => text.Append(CultureInfo.InvariantCulture, $"{name}::{key}::{value}\n");
    }

    private static void WriteJson(Utf8JsonWriter json, IEnumerable<Cluster> clusters, long now)
    {
        json.WriteStartObject();
        json.WriteStartArray("cluster_statuses");
        foreach (var cluster in clusters)
        {
            json.WriteStartObject();
            json.WriteString("name", cluster.Name);
            json.WriteBoolean("added_via_api", value: true);
            json.WriteString("source", cluster.Source);
            json.WriteStartArray("host_statuses");
            foreach (var endpoint in cluster.Endpoints) WriteEndpoint(json, endpoint, now);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteEndpoint(Utf8JsonWriter json, Endpoint endpoint, long now)
    {
        json.WriteStartObject();
        ListenersPage.WriteAddress(json, "address", endpoint.Host, endpoint.Port);
        json.WriteStartArray("stats");
        json.WriteStartObject();
        json.WriteString("name", "rq_active");
        json.WriteString("type", "GAUGE");
        json.WriteString("value", endpoint.Stats.Active.ToString(CultureInfo.InvariantCulture));
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteStartObject("health_status");
        json.WriteString("eds_health_status", "HEALTHY");
        if (IsOut(endpoint, now)) json.WriteBoolean("failed_outlier_check", value: true);
        json.WriteEndObject();
        json.WriteNumber("weight", endpoint.Weight);
        json.WriteNumber("priority", endpoint.Priority);
        json.WriteString("workload", endpoint.Peer.Workload);
        json.WriteString("version", endpoint.Peer.Version);
        json.WriteEndObject();
    }

    private static bool IsOut(Endpoint endpoint, long now) => endpoint.Stats.EjectedUntil > now;
}
