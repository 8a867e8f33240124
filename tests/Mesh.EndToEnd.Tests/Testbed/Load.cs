using System.Globalization;
using System.Text.Json;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Testbed;

/// <summary>Fortio at a constant rate, every request with a unique id in its query.</summary>
internal sealed class Load : IAsyncDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly ChildProcess fortio;

    private Load(string address, string path, string host, LoadShape shape)
    {
        fortio = ChildProcess.Start(ExternalProgram.Require("fortio"),
        [
            "load", "-quiet", "-qps", Text(shape.Rate), "-c", Text(shape.Connections), "-t", "0", "-uniform", "-nocatchup",
            "-allow-initial-errors", "-timeout", "10s", "-json", folder["result.json"], "-H", $"Host: {host}", .. shape.More,
            $"http://{address}{path}{(path.Contains('?', StringComparison.Ordinal) ? '&' : '?')}id={{uuid}}",
        ]);
        fortio.MustRun();
    }

    /// <summary>Starts a load on a sidecar's port.</summary>
    public static Load Start(string address, string path, string host, LoadShape shape) => new(address, path, host, shape);

    /// <summary>Ends it: what is in flight is finished and counted.</summary>
    public async Task<LoadResult> EndAsync()
    {
        fortio.MustRun();
        fortio.Signal(ChildProcess.SigInt);
        await fortio.WaitAsync(60);
        using var json = JsonDocument.Parse(await File.ReadAllTextAsync(folder["result.json"]));
        var codes = json.RootElement.GetProperty("RetCodes").EnumerateObject()
            .ToDictionary(c => c.Name, c => c.Value.GetInt32(), StringComparer.Ordinal);
        return new LoadResult(codes, fortio.Output);
    }

    public async ValueTask DisposeAsync()
    {
        await fortio.DisposeAsync();
        folder.Dispose();
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}

/// <summary>Rate (requests a second) and connections.</summary>
internal sealed record LoadShape(int Rate = 200, int Connections = 8, params string[] More);

/// <summary>How many requests ended with which code ("-1" is a broken connection).</summary>
internal sealed record LoadResult(IReadOnlyDictionary<string, int> Codes, string Output)
{
    /// <summary>Requests that ended with 200.</summary>
    public int Good => Codes.GetValueOrDefault("200");

    /// <summary>All others.</summary>
    public int Bad => Codes.Where(c => c.Key != "200").Sum(c => c.Value);

    /// <summary>Nothing lost: every request was answered with 200; nothing sent twice: every id reached exactly one application, once.</summary>
    public void AssertLossless(params EchoApp[] apps)
    {
        Assert.True(Bad == 0, $"lost requests: {string.Join(", ", Codes.Select(c => $"{c.Key}: {c.Value}"))}\n{Output}");
        var arrivals = AssertNothingTwice(apps);
        // Fortio opens each connection with one more request.
        Assert.InRange(arrivals, Good, int.MaxValue);
    }

    /// <summary>No id reached the applications more than once; returns how many did.</summary>
    public static int AssertNothingTwice(params EchoApp[] apps)
    {
        var arrivals = apps.SelectMany(a => a.Ledger).GroupBy(e => e.Key, StringComparer.Ordinal)
            .Select(g => (Id: g.Key, Count: g.Sum(e => e.Value))).ToList();
        Assert.DoesNotContain(arrivals, a => a.Count > 1);
        return arrivals.Count;
    }
}
