using System.Text;
using Mesh.Sidecar.Dns;
using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Admin;

/// <summary>
/// GET /dns: the names this sidecar answers with their addresses, whom it asks for everything else, and what became of queries. <c>?name=</c> shows what a
/// query of that name is answered, and the names that hold it. As text or JSON.
/// </summary>
internal static class DnsPage
{
    /// <summary>Answers a request.</summary>
    public static Task AnswerAsync(HttpContext context, AdminSources sources)
    {
        if (sources.Dns() is not { } server) return context.TextAsync(StatusCodes.Status200OK, "names are not resolved here (--dns off, or no --capture)\n");
        var filter = context.Request.Query["name"].ToString();
        var names = NameSearch.In(sources.Snapshots.Current, filter);
        return context.Request.WantsJson() ? JsonAsync(context, server, names) : context.TextAsync(StatusCodes.Status200OK, Text(server, names));
    }

    private static string Text(DnsServer server, IEnumerable<ListedName> names)
    {
        var (text, resolvers) = (new StringBuilder(), server.File.Current);
        text.Append($"names of the mesh: {(server.Names is { } table ? $"{table.Services} services, {table.Externals} others" : "not known yet")}\n");
        text.Append($"everything else: {string.Join(", ", resolvers.Servers)} ({server.File.Path}: timeout {resolvers.Timeout.TotalSeconds} s, {resolvers.Attempts} attempts{(resolvers.Rotate ? ", rotate" : "")})\n");
        if (server.File.Trouble.Length > 0) text.Append($"in its place those that were: {server.File.Trouble}\n");
        text.Append($"in flight: {server.Counters.InFlight}\n");
        foreach (var outcome in Enum.GetValues<DnsOutcome>()) text.Append($"{outcome}: {server.Counters[outcome]}\n");
        text.Append('\n');
        foreach (var name in names) text.Append($"{name.Name}{(name.Bare ? " (bare, too)" : "")}: {string.Join(' ', name.Addresses)}{(name.InstancesOf.Length > 0 ? $" (instances of {name.InstancesOf})" : "")}\n");
        return text.ToString();
    }

    private static Task JsonAsync(HttpContext context, DnsServer server, IEnumerable<ListedName> names) => context.JsonAsync(json =>
    {
        var resolvers = server.File.Current;
        json.WriteStartObject();
        json.WriteBoolean("known", server.Names is not null);
        json.WriteStartArray("resolvers");
        foreach (var one in resolvers.Servers) json.WriteStringValue(one.ToString());
        json.WriteEndArray();
        json.WriteString("resolvers_trouble", server.File.Trouble);
        json.WriteStartObject("queries");
        foreach (var outcome in Enum.GetValues<DnsOutcome>()) json.WriteNumber(outcome.ToString(), server.Counters[outcome]);
        json.WriteEndObject();
        json.WriteStartArray("names");
        foreach (var name in names)
        {
            json.WriteStartObject();
            json.WriteString("name", name.Name);
            json.WriteBoolean("bare", name.Bare);
            json.WriteStartArray("addresses");
            foreach (var address in name.Addresses) json.WriteStringValue(address.ToString());
            json.WriteEndArray();
            if (name.InstancesOf.Length > 0) json.WriteString("instances_of", name.InstancesOf);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    });
}
