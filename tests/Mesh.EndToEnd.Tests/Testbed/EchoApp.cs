using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Mesh.EndToEnd.Tests.Testbed;

/// <summary>
/// A small application: answers <c>NAME METHOD PATH</c>, keeps a ledger of the unique ids it was sent (<c>?id=</c>), and does what a query asks:
/// <c>?status=503</c>, <c>?delay=200</c> (ms), <c>?headers</c> (shows what it received), <c>?size=1000</c>. POST bodies are echoed.
/// </summary>
internal sealed class EchoApp : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly ConcurrentDictionary<string, int> ledger = new(StringComparer.Ordinal);
    private int requests;

    private EchoApp(string name, HttpProtocols protocols, int port)
    {
        Name = name;
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Limits.KeepAliveTimeout = TimeSpan.FromHours(1);
            kestrel.Listen(System.Net.IPAddress.Loopback, port, listen => listen.Protocols = protocols);
        });
        app = builder.Build();
        app.Run(AnswerAsync);
    }

    /// <summary>Name it answers with.</summary>
    public string Name { get; }

    /// <summary>Port.</summary>
    public int Port => new Uri(app.Urls.Single()).Port;

    /// <summary>How often each id arrived.</summary>
    public IReadOnlyDictionary<string, int> Ledger => ledger;

    /// <summary>Requests that arrived.</summary>
    public int Requests => Volatile.Read(ref requests);

    /// <summary>Starts one on a free port.</summary>
    public static async Task<EchoApp> StartAsync(string name, HttpProtocols protocols = HttpProtocols.Http1, int port = 0)
    {
        var echo = new EchoApp(name, protocols, port);
        await echo.app.StartAsync();
        return echo;
    }

    /// <summary>Ends as a well-behaved application does: what runs is finished, connections are told.</summary>
    public Task StopAsync() => app.StopAsync();

    public async ValueTask DisposeAsync() => await app.DisposeAsync();

    private async Task AnswerAsync(HttpContext context)
    {
        Interlocked.Increment(ref requests);
        var request = context.Request;
        if (request.Query["id"] is [{ } id]) ledger.AddOrUpdate(id, 1, (_, n) => n + 1);
        if (Number("delay") is { } delay) await Task.Delay(delay, context.RequestAborted);
        context.Response.StatusCode = Number("status") ?? StatusCodes.Status200OK;
        context.Response.Headers["x-app"] = Name;
        if (request.Query.ContainsKey("headers"))
        {
            await context.Response.WriteAsync(string.Concat(request.Headers.Select(h => $"{h.Key}: {h.Value}\n")));
        }
        else if (Number("size") is { } size)
        {
            await context.Response.WriteAsync(new string('x', size));
        }
        else if (HttpMethods.IsPost(request.Method))
        {
            await request.Body.CopyToAsync(context.Response.Body, context.RequestAborted);
        }
        else
        {
            await context.Response.WriteAsync($"{Name} {request.Method} {request.Path}");
        }

        int? Number(string name) => int.TryParse(request.Query[name], CultureInfo.InvariantCulture, out var n) ? n : null;
    }
}
