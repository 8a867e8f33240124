using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Mesh.Cli.Tests.Commands;

/// <summary>An HTTP server in the place of the operators' API: gives known answers and keeps what it was asked.</summary>
internal sealed class OperatorsServer : IAsyncDisposable
{
    private readonly Dictionary<string, RequestDelegate> pages = new(StringComparer.Ordinal);
    private readonly WebApplication app;

    private OperatorsServer()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        app = builder.Build();
        app.Run(AnswerAsync);
    }

    /// <summary>Where it listens.</summary>
    public string Address => app.Urls.First();

    /// <summary>When set: the token without which everything is 401.</summary>
    public string? Token { get; set; }

    /// <summary>Method, path with query, and body of each request.</summary>
    public List<(string Method, string Path, string Body)> Requests { get; } = [];

    public static async Task<OperatorsServer> StartAsync()
    {
        var server = new OperatorsServer();
        await server.app.StartAsync();
        return server;
    }

    public void Answer<T>(string path, JsonTypeInfo<T> type, T answer) => pages[path] = http => http.Response.WriteAsJsonAsync(answer, type);

    public void Answer(string path, RequestDelegate page) => pages[path] = page;

    public Task<(int Code, string Output, string Error)> RunAsync(params string[] arguments) =>
        Meshctl.RunAsync([.. arguments, "--control-plane", Address]);

    public async ValueTask DisposeAsync() => await app.DisposeAsync();

    private async Task AnswerAsync(HttpContext http)
    {
        using var reader = new StreamReader(http.Request.Body);
        Requests.Add((http.Request.Method, http.Request.Path + http.Request.QueryString, await reader.ReadToEndAsync()));
        if (Token is not null && http.Request.Headers.Authorization != "Bearer " + Token)
        {
            http.Response.StatusCode = 401;
            await http.Response.WriteAsJsonAsync(new { error = "log in" });
        }
        else if (pages.TryGetValue(http.Request.Path, out var page))
        {
            await page(http);
        }
        else
        {
            http.Response.StatusCode = 404;
        }
    }
}
