using System.Net;
using Mesh.ControlPlane.Sources.Registry.Checks;
using Mesh.ControlPlane.Sources.Registry.Store;
using Mesh.Tests;
using Microsoft.Extensions.Logging.Abstractions;

namespace Mesh.ControlPlane.Tests.Sources.Registry.Checks;

public sealed class CheckRunnerTests : IAsyncDisposable
{
    private readonly ManualTimeProvider time = new();
    private readonly RegistryStore store;
    private readonly CheckRunner runner;

    public CheckRunnerTests()
    {
        store = new RegistryStore(new RegistryState { AgentNode = "n" }, new WatchHub(10), time);
        store.Change(d => d.SetNode(new NodeEntry { Name = "n" }));
        store.Change(d => d.SetService("n", new ServiceEntry { Id = "web", Name = "web" }));
        runner = new CheckRunner(store, time, new Random(1), NullLogger.Instance);
        runner.Start();
    }

    public async ValueTask DisposeAsync() => await runner.DisposeAsync();

    [Fact]
    public void A_ttl_check_turns_critical_when_nobody_reports_and_each_report_gives_it_its_full_time()
    {
        Add(new CheckDefinition { CheckId = "c", Kind = CheckKind.Ttl, Period = TimeSpan.FromSeconds(10) });
        Assert.Equal(ReportOutcome.Taken, runner.Report("c", CheckStatus.Passing, "well"));
        time.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal(CheckStatus.Passing, State.Status);
        runner.Report("c", CheckStatus.Passing, "well");
        time.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal(CheckStatus.Passing, State.Status);
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal((CheckStatus.Critical, "TTL expired (last output before timeout follows): well"), (State.Status, State.Output));
    }

    [Fact]
    public void A_report_that_says_the_same_again_wakes_nobody()
    {
        Add(new CheckDefinition { CheckId = "c", Kind = CheckKind.Ttl, Period = TimeSpan.FromSeconds(10) });
        runner.Report("c", CheckStatus.Passing, "well");
        var before = store.Current;
        runner.Report("c", CheckStatus.Passing, "well");
        Assert.Same(before, store.Current);
    }

    [Fact]
    public void A_service_that_is_critical_for_too_long_is_taken_out()
    {
        Add(new CheckDefinition { CheckId = "c", Kind = CheckKind.Ttl, Period = TimeSpan.FromSeconds(10), DeregisterAfter = TimeSpan.FromMinutes(1) });
        runner.Report("c", CheckStatus.Passing, "");
        time.Advance(TimeSpan.FromSeconds(69));
        Assert.True(store.Current.Services.ContainsKey("web"));
        time.Advance(TimeSpan.FromSeconds(5));
        Assert.False(store.Current.Services.ContainsKey("web"));
        Assert.Equal(ReportOutcome.UnknownCheck, runner.Report("c", CheckStatus.Passing, ""));
    }

    [Fact]
    public void A_service_that_recovers_in_time_stays()
    {
        Add(new CheckDefinition { CheckId = "c", Kind = CheckKind.Ttl, Period = TimeSpan.FromSeconds(40), DeregisterAfter = TimeSpan.FromMinutes(1) });
        time.Advance(TimeSpan.FromSeconds(50));
        runner.Report("c", CheckStatus.Passing, "");
        time.Advance(TimeSpan.FromSeconds(30));
        Assert.True(store.Current.Services.ContainsKey("web"));
    }

    [Theory]
    [InlineData(200, CheckStatus.Passing)]
    [InlineData(204, CheckStatus.Passing)]
    [InlineData(429, CheckStatus.Warning)]
    [InlineData(404, CheckStatus.Critical)]
    [InlineData(503, CheckStatus.Critical)]
    public async Task An_http_check_goes_by_the_status(int code, string status)
    {
        using var origin = new HttpOrigin(code, "I feel so");
        using var probes = new CheckProbes();
        var check = new CheckDefinition { CheckId = "c", Kind = CheckKind.Http, Target = origin.Url, Period = TimeSpan.FromSeconds(1), Request = new HttpCheckRequest() };
        var result = await probes.RunAsync(check, CancellationToken.None);
        Assert.Equal(status, result.Status);
        Assert.Contains(code == 204 ? "204" : "I feel so", result.Output);
    }

    [Theory]
    [InlineData("127.0.0.1:1")]
    [InlineData("nonsense")]
    [InlineData("127.0.0.1:99999")]
    public async Task A_tcp_check_of_what_is_not_there_is_critical_and_says_what(string target)
    {
        using var probes = new CheckProbes();
        var result = await probes.RunAsync(new CheckDefinition { CheckId = "c", Kind = CheckKind.Tcp, Target = target, Period = TimeSpan.FromSeconds(1) }, CancellationToken.None);
        Assert.Equal(CheckStatus.Critical, result.Status);
        Assert.Contains(target, result.Output);
    }

    [Fact]
    public async Task Checks_run_at_their_interval_and_end_with_their_service()
    {
        using var origin = new HttpOrigin(200, "ok");
        Add(new CheckDefinition { CheckId = "c", Kind = CheckKind.Http, Target = origin.Url, Period = TimeSpan.FromSeconds(5), Request = new HttpCheckRequest() });
        var changed = NextChange();
        // The reaper's timer and the delay before the first try.
        while (time.ActiveTimers < 2) await Task.Delay(TimeSpan.FromMilliseconds(1));
        time.Advance(TimeSpan.FromSeconds(2));
        await changed.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal(CheckStatus.Passing, State.Status);
        store.Change(d =>
        {
            d.RemoveService("n", "web");
            return true;
        });
        await runner.DisposeAsync();
        Assert.Equal(0, time.ActiveTimers);
    }

    private CheckEntry State => store.Current.Nodes["n"].Checks["c"];

    private void Add(CheckDefinition check) => store.Change(d =>
    {
        d.SetCheck(new CheckEntry { Node = "n", Id = "c", ServiceId = "web" });
        d.OwnCheck(check);
        return true;
    });

    private Task NextChange()
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        store.Follow(_ => done.TrySetResult());
        return done.Task;
    }

    /// <summary>A real HTTP server that answers everything alike.</summary>
    private sealed class HttpOrigin : IDisposable
    {
        private readonly HttpListener listener = new();

        public HttpOrigin(int code, string body)
        {
            Url = $"http://127.0.0.1:{FreePorts.One()}/";
            listener.Prefixes.Add(Url);
            listener.Start();
            _ = ServeAsync(code, body);
        }

        public string Url { get; }

        public void Dispose() => listener.Close();

        private async Task ServeAsync(int code, string body)
        {
            try
            {
                while (true)
                {
                    var context = await listener.GetContextAsync();
                    context.Response.StatusCode = code;
                    if (code != 204) await context.Response.OutputStream.WriteAsync(System.Text.Encoding.UTF8.GetBytes(body));
                    context.Response.Close();
                }
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
            {
            }
        }
    }
}
