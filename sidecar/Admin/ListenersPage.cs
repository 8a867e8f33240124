using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Admin;

/// <summary>GET /listeners: names and addresses, as Envoy's text or JSON.</summary>
internal static class ListenersPage
{
    /// <summary>Answers a request.</summary>
    public static Task AnswerAsync(HttpContext context, AdminSources sources)
    {
        var listeners = sources.Snapshots.Current.Listeners.Where(l => l is not null).Select(l => l!);
        return context.Request.WantsJson()
            ? context.JsonAsync(json =>
            {
                json.WriteStartObject();
                json.WriteStartArray("listener_statuses");
                foreach (var listener in listeners)
                {
                    json.WriteStartObject();
                    json.WriteString("name", listener.Name);
                    WriteAddress(json, "local_address", listener.Address.Address.ToString(), listener.Address.Port);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
                json.WriteEndObject();
            })
            : context.TextAsync(StatusCodes.Status200OK, string.Concat(listeners.Select(l => $"{l.Name}::{l.Address}\n")));
    }

    /// <summary>An address by Envoy's shape.</summary>
    internal static void WriteAddress(Utf8JsonWriter json, string property, string host, int port)
    {
        json.WriteStartObject(property);
        json.WriteStartObject("socket_address");
        json.WriteString("address", host);
        json.WriteNumber("port_value", port);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
