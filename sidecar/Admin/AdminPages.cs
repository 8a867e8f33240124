using System.Net;
using Mesh.Api.Logging;
using Mesh.Sidecar.Telemetry;
using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Admin;

/// <summary>
/// The admin port (15000), by Envoy's paths. Answers only requests whose Host is an address or localhost and that no foreign web page made:
/// a name somebody points at 127.0.0.1 (DNS rebinding) gets nothing. What changes something needs POST.
/// </summary>
internal sealed class AdminPages
{
    private readonly AdminSources sources;
    private readonly Dictionary<string, Page> pages;
    private readonly DateTimeOffset started;

    /// <summary>Pages over <paramref name="sources"/>.</summary>
    public AdminPages(AdminSources sources)
    {
        this.sources = sources;
        started = sources.Time.GetUtcNow();
        pages = new Dictionary<string, Page>(StringComparer.Ordinal)
        {
            ["/"] = new("this list", HelpAsync),
            ["/help"] = new("this list", HelpAsync),
            ["/ready"] = new("200 when traffic is taken, else 503", c => ReadinessPages.AnswerAsync(c, sources)),
            ["/server_info"] = new("version, state, node and flags", ServerInfoAsync),
            ["/config_dump"] = new("accepted xDS resources; ?include_eds, ?name_regex=", c => ConfigDumpPage.AnswerAsync(c, sources)),
            ["/clusters"] = new("clusters and endpoints; ?format=json", c => ClustersPage.AnswerAsync(c, sources)),
            ["/listeners"] = new("listeners and their addresses; ?format=json", c => ListenersPage.AnswerAsync(c, sources)),
            ["/stats"] = new("the sidecar's own numbers; ?format=prometheus for all metrics", StatsAsync),
            ["/stats/prometheus"] = new("all metrics as Prometheus text", c => MetricsPages.ExposeAsync(c, sources)),
            ["/certs"] = new("certificates in use", c => CertificatesPage.AnswerAsync(c, sources)),
            ["/certs/renew"] = new("get a new certificate now; answers with its serial number", c => CertificatesPage.RenewAsync(c, sources), Changes: true),
            ["/dns"] = new("names of the mesh, resolvers of all others; ?name=, ?format=json", c => DnsPage.AnswerAsync(c, sources)),
            ["/detection"] = new("ports of undeclared protocol whose servers speak first; ?format=json", c => DetectionPage.AnswerAsync(c, sources)),
            ["/memory"] = new("memory of the process", MemoryAsync),
            ["/quitquitquit"] = new("drain and exit", QuitAsync, Changes: true),
            ["/drain_listeners"] = new("leave the mesh, drain inbound listeners, keep outbound; ?wait answers when done", DrainAsync, Changes: true),
            ["/logging"] = new("log level; ?level=debug|info|warn|error", LoggingAsync, Changes: true),
        };
    }

    /// <summary>Answers a request.</summary>
    public Task HandleAsync(HttpContext context)
    {
        var request = context.Request;
        if (!IsLocalName(request.Host.Host))
            return context.TextAsync(StatusCodes.Status403Forbidden, "the admin port answers to localhost and IP addresses only, not to names\n");
        if (request.Headers.Origin.Count > 0 && request.Headers.Origin != $"http://{request.Host}")
            return context.TextAsync(StatusCodes.Status403Forbidden, "the admin port does not answer to other sites' pages\n");
        if (!pages.TryGetValue(request.Path.Value ?? "/", out var page))
            return context.TextAsync(StatusCodes.Status404NotFound, "no such page. " + HelpText());
        var reads = HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method);
        if (page.Changes ? HttpMethods.IsPost(request.Method) : reads) return page.AnswerAsync(context);
        context.Response.Headers.Allow = page.Changes ? "POST" : "GET, HEAD";
        return context.TextAsync(StatusCodes.Status405MethodNotAllowed,
            page.Changes ? $"{request.Path} changes something: it needs POST\n" : $"{request.Path} is read with GET\n");
    }

    private static bool IsLocalName(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || IPAddress.TryParse(host.Trim('[', ']'), out _);

    private Task HelpAsync(HttpContext context) => context.TextAsync(StatusCodes.Status200OK, HelpText());

    private string HelpText() => "admin commands are:\n" + string.Concat(
        pages.Where(p => p.Key != "/").OrderBy(p => p.Key, StringComparer.Ordinal)
            .Select(p => $"  {p.Key}{(p.Value.Changes ? " (POST)" : "")}: {p.Value.Help}\n"));

    private Task ServerInfoAsync(HttpContext context) => context.JsonAsync(json =>
    {
        var uptime = (long)(sources.Time.GetUtcNow() - started).TotalSeconds;
        json.WriteStartObject();
        json.WriteString("version", "mesh-sidecar/" + Instruments.Version);
        json.WriteString("state", sources.Readiness().State);
        json.WriteString("uptime_current_epoch", $"{uptime}s");
        json.WriteString("uptime_all_epochs", $"{uptime}s");
        json.WriteStartObject("command_line_options");
        foreach (var (flag, value) in sources.Flags) json.WriteString(flag, value);
        json.WriteEndObject();
        json.WriteStartObject("node");
        json.WriteString("id", sources.Node.Id);
        json.WriteString("cluster", sources.Node.Cluster);
        json.WriteString("user_agent_name", "mesh-sidecar");
        json.WriteEndObject();
        json.WriteEndObject();
    });

    private Task StatsAsync(HttpContext context)
    {
        if (context.Request.Query["format"] == "prometheus") return MetricsPages.ExposeAsync(context, sources);
        var own = sources.Own;
        var numbers = own.Counters.Select(c => (c.Name, Value: (double)c.Value))
            .Concat(own.Gauges.Select(g => (g.Name, Value: (double)g.Value)))
            .Concat(own.Observed.Select(o => (o.Name, Value: o.Read())));
        return context.TextAsync(StatusCodes.Status200OK,
            string.Concat(numbers.OrderBy(n => n.Name, StringComparer.Ordinal).Select(n => $"{n.Name}: {n.Value}\n")));
    }

    private Task MemoryAsync(HttpContext context) => context.JsonAsync(json =>
    {
        var memory = GC.GetGCMemoryInfo();
        json.WriteStartObject();
        json.WriteString("allocated", Text(GC.GetTotalMemory(forceFullCollection: false)));
        json.WriteString("heap_size", Text(memory.HeapSizeBytes));
        json.WriteString("committed", Text(memory.TotalCommittedBytes));
        json.WriteString("resident", Text(Environment.WorkingSet));
        json.WriteString("total_physical_bytes", Text(memory.TotalAvailableMemoryBytes));
        json.WriteEndObject();

        static string Text(long bytes) => bytes.ToString(System.Globalization.CultureInfo.InvariantCulture);
    });

    private async Task QuitAsync(HttpContext context)
    {
        await context.TextAsync(StatusCodes.Status200OK, "OK\n");
        await context.Response.CompleteAsync();
        sources.Quit();
    }

    /// <summary>Answers at once as Envoy does, or with <c>?wait</c> when all is drained: for stop hooks.</summary>
    private async Task DrainAsync(HttpContext context)
    {
        var drained = sources.DrainListeners();
        if (context.Request.Query.ContainsKey("wait")) await drained.WaitAsync(context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await context.TextAsync(StatusCodes.Status200OK, "OK\n");
    }

    private Task LoggingAsync(HttpContext context)
    {
        string? wanted = context.Request.Query["level"];
        if (!string.IsNullOrEmpty(wanted))
        {
            if (!Log.TryParse(wanted, out var level))
                return context.TextAsync(StatusCodes.Status400BadRequest, "level is one of debug, info, warn, error\n");
            sources.Log.Least = level;
        }

        return context.TextAsync(StatusCodes.Status200OK, $"level: {sources.Log.Least.ToString().ToLowerInvariant()}\n");
    }

    private sealed record Page(string Help, RequestDelegate AnswerAsync, bool Changes = false);
}
