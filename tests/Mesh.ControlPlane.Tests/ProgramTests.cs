using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Mesh.Api.Logging;
using Mesh.Api.Operators;

namespace Mesh.ControlPlane.Tests;

/// <summary>The control plane as a whole, in this process, on free ports.</summary>
public sealed class ProgramTests
{
    private static readonly ConditionalWeakTable<ControlPlaneProgram, string> DataOf = [];

    /// <summary>Starts one with nothing but defaults on free ports.</summary>
    internal static Task<ControlPlaneProgram> StartAsync(Func<Options, Options>? change = null)
    {
        var any = ListenAddress.Parse("127.0.0.1:0");
        var options = new Options
        {
            Data = Directory.CreateTempSubdirectory("mesh-data-").FullName,
            Xds = [any],
            Health = any,
            Operators = any,
            Registry = any,
            ReplicaId = "test",
        };
        return StartAsync(change?.Invoke(options) ?? options);
    }

    /// <summary>A client that is logged in to the operators' API of a control plane that was started here.</summary>
    internal static HttpClient Operator(ControlPlaneProgram program)
    {
        Assert.True(DataOf.TryGetValue(program, out var data));
        var http = new HttpClient();
        http.DefaultRequestHeaders.Authorization = new("Bearer", File.ReadAllText(Path.Combine(data, OperatorsFiles.AdminToken)).Trim());
        return http;
    }

    private static async Task<ControlPlaneProgram> StartAsync(Options options)
    {
        var program = await ControlPlaneProgram.StartAsync(options, TimeProvider.System, Log.Silent);
        DataOf.Add(program, options.Data);
        return program;
    }

    [Fact]
    public async Task It_becomes_ready_and_answers_on_its_ports()
    {
        await using var program = await StartAsync();
        using var http = Operator(program);
        Assert.Equal("ok\n", await http.GetStringAsync(new Uri($"http://{program.Addresses["health"]}/healthz")));
        await Mesh.Tests.Eventually.HoldsAsync(async () =>
        {
            using var ready = await http.GetAsync(new Uri($"http://{program.Addresses["health"]}/readyz"));
            return ready.IsSuccessStatusCode;
        }, "ready");
        foreach (var path in (string[])[OperatorsApi.Nodes, OperatorsApi.Services, OperatorsApi.Stat, OperatorsApi.Edges, "/debug/world", "/debug/nodes"])
        {
            using var answer = JsonDocument.Parse(await http.GetStringAsync(new Uri($"http://{program.Addresses["operators"]}{path}")));
            Assert.Equal(JsonValueKind.Object, answer.RootElement.ValueKind);
        }
    }

    [Theory]
    [InlineData("health", "/debug/world", 404)]
    [InlineData("health", "/api/nodes", 404)]
    [InlineData("operators", "/nothing", 404)]
    [InlineData("operators", "/api/config", 400)]
    [InlineData("operators", "/api/config?node=nobody", 404)]
    [InlineData("operators", "/api/stat?window=10", 400)]
    [InlineData("operators", "/api/stat?window=0s", 400)]
    [InlineData("operators", "/api/edges?window=11m", 400)]
    [InlineData("operators", "/api/edges?window=5m", 200)]
    public async Task Paths_and_questions_that_are_wrong_are_refused(string port, string path, int status)
    {
        await using var program = await StartAsync();
        using var http = Operator(program);
        using var answer = await http.GetAsync(new Uri($"http://{program.Addresses[port]}{path}"));
        Assert.Equal(status, (int)answer.StatusCode);
    }

    [Theory]
    [InlineData("GET", "evil.example", 421)]
    [InlineData("GET", "127.0.0.1.evil.example:80", 421)]
    [InlineData("GET", "localhost:1", 200)]
    [InlineData("GET", "[::1]", 200)]
    [InlineData("POST", "localhost", 405)]
    [InlineData("DELETE", "localhost", 405)]
    public async Task The_operators_port_reads_for_loopback_names_only(string method, string host, int status)
    {
        await using var program = await StartAsync();
        using var http = Operator(program);
        using var request = new HttpRequestMessage(new HttpMethod(method), $"http://{program.Addresses["operators"]}/api/nodes");
        request.Headers.Host = host;
        using var answer = await http.SendAsync(request);
        Assert.Equal(status, (int)answer.StatusCode);
    }

    [Fact]
    public async Task A_taken_port_is_named_and_nothing_stays_behind()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var address = $"127.0.0.1:{((IPEndPoint)taken.LocalEndpoint).Port}";
        var e = await Assert.ThrowsAsync<StartException>(() => StartAsync(o => o with { Xds = [ListenAddress.Parse(address)] }));
        Assert.Contains($"xds on {address}", e.Message);
        Assert.Contains("in use", e.Message);
    }

    [Fact]
    public async Task It_stops_when_told_and_removes_its_socket()
    {
        var socket = Path.Combine(Directory.CreateTempSubdirectory("mesh-").FullName, "x.sock");
        using var stop = new CancellationTokenSource();
        await using (var program = await StartAsync(o => o with { Xds = [o.Xds[0], ListenAddress.Parse("unix:" + socket)] }))
        {
            Assert.Equal("unix:" + socket, program.Addresses["xds-2"]);
            Assert.True(File.Exists(socket));
            var running = program.RunUntilAsync(stop.Token);
            await stop.CancelAsync();
            await running.WaitAsync(TimeSpan.FromSeconds(20));
        }

        Assert.False(File.Exists(socket));
    }
}
