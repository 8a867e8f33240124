using System.Text.Json;
using System.Text.Json.Serialization;
using Mesh.ControlPlane.Model;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Admin;

/// <summary><c>/debug/world</c>: everything the control plane knows, with the state of its sources. Thread safe.</summary>
internal sealed class WorldReport(WorldStore store, Func<object> sources)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        Converters = { new JsonStringEnumConverter(), new ServiceNameConverter() },
    };

    /// <summary>Answers a request.</summary>
    public Task WriteAsync(HttpContext http)
    {
        http.Response.ContentType = "application/json; charset=utf-8";
        var world = store.Current;
        var report = new
        {
            world.Version,
            Sources = sources(),
            store.Interest,
            Notices = world.AllNotices,
            Services = world.Services.Values.OrderBy(s => s.Name).Select(s => new { s.Name, s.AnyPort, Addresses = world.AddressesOf(s), s.Headless, s.Source, s.Ports, s.Routes }),
            Instances = world.Instances.Values.OrderBy(i => i.Id, StringComparer.Ordinal),
        };
        return JsonSerializer.SerializeAsync(http.Response.Body, report, Json, http.RequestAborted);
    }

    private sealed class ServiceNameConverter : JsonConverter<ServiceName>
    {
        public override ServiceName Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => throw new NotSupportedException();

        public override void Write(Utf8JsonWriter writer, ServiceName value, JsonSerializerOptions options) => writer.WriteStringValue(value.ToString());
    }
}
