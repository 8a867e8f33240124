using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using Mesh.Tests;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Mesh.ControlPlane.Tests.Sources.Consul;

/// <summary>
/// A Consul that misbehaves on request: catalog/services and health/service with true blocking semantics (an index at or above the
/// current one waits, also when it lies in the future), and faults that a test puts before the next answers. On Kestrel, free port.
/// </summary>
internal sealed class FakeConsul : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly Lock gate = new();
    private readonly SortedDictionary<string, (object[] Entries, ulong Index)> services = new(StringComparer.Ordinal);
    private readonly List<(string Prefix, Func<HttpContext, Task<bool>> Fault)> faults = [];
    private TaskCompletionSource changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ulong index = 10;
    private int waiting;

    private FakeConsul(WebApplication app) => this.app = app;

    public Uri Address => new(app.Urls.First());

    /// <summary>Path and query of every request, in order.</summary>
    public ConcurrentQueue<string> Requests { get; } = new();

    /// <summary>Requests that wait for a change at this moment: the next change wakes exactly these.</summary>
    public int Waiting
    {
        get { lock (gate) return waiting; }
    }

    /// <summary>What X-Consul-Index says instead of the truth; null = the truth; "" = no header.</summary>
    public volatile string? IndexHeader;

    /// <summary>Tokens seen.</summary>
    public ConcurrentQueue<string?> Tokens { get; } = new();

    public static async Task<FakeConsul> StartAsync(Uri? at = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls(at?.ToString() ?? $"http://127.0.0.1:{FreePorts.One()}");
        var built = builder.Build();
        var fake = new FakeConsul(built);
        built.Run(fake.ServeAsync);
        await built.StartAsync();
        return fake;
    }

    /// <summary>Replaces the instances of a service; none = it leaves the catalog.</summary>
    public void Set(string service, params object[] entries)
    {
        lock (gate)
        {
            services[service] = (entries, ++index);
            Wake();
        }
    }

    /// <summary>Moves the index without any change of content.</summary>
    public void Churn()
    {
        lock (gate)
        {
            index++;
            foreach (var name in services.Keys.ToArray()) services[name] = (services[name].Entries, index);
            Wake();
        }
    }

    /// <summary>As after a restored snapshot: indexes begin anew.</summary>
    public void Rewind(ulong to)
    {
        lock (gate)
        {
            index = to;
            foreach (var name in services.Keys.ToArray()) services[name] = (services[name].Entries, index);
            Wake();
        }
    }

    /// <summary>The next requests whose path begins so get this instead. The fault returns false to let the request through.</summary>
    public void Next(string prefix, int times, Func<HttpContext, Task> fault)
    {
        lock (gate)
            for (var i = 0; i < times; i++) faults.Add((prefix, async http => { await fault(http); return true; }));
    }

    public static Func<HttpContext, Task> Status(int code, string body) => async http =>
    {
        http.Response.StatusCode = code;
        await http.Response.WriteAsync(body);
    };

    public static object Foreign(string id, int port, string status = "passing", object? meta = null, string[]? tags = null, string kind = "", string node = "n1", string address = "10.0.0.1") => new
    {
        Node = new { Node = node, Address = "10.9.9.9", ModifyIndex = 1 },
        Service = new { ID = id, Service = "x", Kind = kind, Tags = tags ?? [], Address = address, Port = port, Meta = meta ?? new { }, Weights = new { Passing = 1, Warning = 1 }, ModifyIndex = 1 },
        Checks = new[] { new { Node = node, CheckID = "c", Status = status } },
    };

    public async ValueTask DisposeAsync()
    {
        lock (gate) Wake();
        using var patience = new CancellationTokenSource(TimeSpan.FromMilliseconds(100));
        await app.StopAsync(patience.Token);
        await app.DisposeAsync();
    }

    private void Wake()
    {
        waiting = 0;
        changed.TrySetResult();
        changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private async Task ServeAsync(HttpContext http)
    {
        Requests.Enqueue(http.Request.Path + http.Request.QueryString);
        Tokens.Enqueue(http.Request.Headers["X-Consul-Token"].FirstOrDefault());
        Func<HttpContext, Task<bool>>? fault = null;
        lock (gate)
        {
            var at = faults.FindIndex(f => http.Request.Path.Value!.StartsWith(f.Prefix, StringComparison.Ordinal));
            if (at >= 0)
            {
                fault = faults[at].Fault;
                faults.RemoveAt(at);
            }
        }

        if (fault is not null && await fault(http)) return;
        await AnswerAsync(http, http.Request.Path.Value!);
    }

    private async Task AnswerAsync(HttpContext http, string path)
    {
        var asked = ulong.TryParse(http.Request.Query["index"], NumberStyles.None, CultureInfo.InvariantCulture, out var i) ? i : 0;
        var wait = http.Request.Query["wait"].FirstOrDefault() is { } w && w.EndsWith("ms", StringComparison.Ordinal)
            ? TimeSpan.FromMilliseconds(int.Parse(w[..^2], CultureInfo.InvariantCulture)) : TimeSpan.FromMinutes(5);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted);
        over.CancelAfter(wait);
        var answer = await ReadAsync(path, asked, over.Token);
        if (http.RequestAborted.IsCancellationRequested) return;
        http.Response.ContentType = "application/json";
        if ((IndexHeader ?? answer.Index.ToString(CultureInfo.InvariantCulture)) is { Length: > 0 } header) http.Response.Headers["X-Consul-Index"] = header;
        await http.Response.WriteAsync(JsonSerializer.Serialize(answer.Body));
    }

    /// <summary>What there is, once it is news to who has seen <paramref name="asked"/>, or when the time is over.</summary>
    private async Task<(object Body, ulong Index)> ReadAsync(string path, ulong asked, CancellationToken over)
    {
        while (true)
        {
            Task change;
            lock (gate)
            {
                var answer = Read(path);
                if (asked == 0 || answer.Index > asked) return answer;
                change = changed.Task;
                waiting++;
            }

            var came = change.WaitAsync(over);
            await came.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            lock (gate)
            {
                var answer = Read(path);
                if (!change.IsCompleted) waiting--;
                // A change that leaves the index below what was asked is told too: it went backwards.
                if (!came.IsCompletedSuccessfully || answer.Index < asked) return answer;
            }
        }
    }

    private (object Body, ulong Index) Read(string path)
    {
        if (path == "/v1/catalog/services") return (services.Where(s => s.Value.Entries.Length > 0).ToDictionary(s => s.Key, _ => Array.Empty<string>(), StringComparer.Ordinal), index);
        var name = path["/v1/health/service/".Length..];
        return services.TryGetValue(name, out var found) ? (found.Entries, found.Index) : (Array.Empty<object>(), index);
    }
}
