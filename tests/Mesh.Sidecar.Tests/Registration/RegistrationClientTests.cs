using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.Api.Workloads;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Registration;
using Mesh.Sidecar.Resilience;
using Mesh.Tests;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Mesh.Sidecar.Tests.Registration;

/// <summary>The registration of a workload, against a control plane on a real port and an application that comes and goes.</summary>
public sealed class RegistrationClientTests : IAsyncLifetime, IAsyncDisposable
{
    private readonly Channel<WorkloadUpdate> updates = Channel.CreateUnbounded<WorkloadUpdate>();
    private readonly ManualTimeProvider time = new();
    private readonly TcpListener app = new(IPAddress.Loopback, FreePorts.One());
    private IReadOnlyList<OwnAddress> more = [];
    private WebApplication? plane;
    private Func<WorkloadUpdate, WorkloadAck> answer = _ => new WorkloadAck { Status = WorkloadAck.Types.Status.Accepted, RegisteredBy = "cp-1" };
    private TaskCompletionSource hangUp = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private GrpcChannel? channel;
    private RegistrationClient? client;
    private Task running = Task.CompletedTask;

    public async Task InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k =>
        {
            GrpcKestrel.Configure(k);
            k.Listen(IPAddress.Loopback, FreePorts.One(), l => l.Protocols = HttpProtocols.Http2);
        });
        plane = builder.Build();
        plane.MapGrpcDuplex(WorkloadMethods.Register, ServeAsync);
        await plane.StartAsync();
    }

    [Fact]
    public async Task Registers_once_the_application_accepts()
    {
        app.Start();
        var port = ((IPEndPoint)app.LocalEndpoint).Port;
        app.Stop();
        Start(port);
        await Eventually.TrueAsync(() => time.ActiveTimers > 0);
        Assert.False(updates.Reader.TryRead(out _));
        using var there = new TcpListener(IPAddress.Loopback, port);
        there.Start();
        var said = await NextAsync(advance: true);
        var registration = said.Register;
        Assert.Equal(("web-1", "web", "shop", "v2", "10.0.0.1", "z1", "web-v2"),
            (registration.Id, registration.Service, registration.Namespace, registration.Version, registration.Address, registration.Zone, registration.Workload));
        Assert.Equal("http:127.0.0.1:41000", $"{registration.Ports[0].Protocol}:{registration.Ports[0].ListenAddress}:{registration.Ports[0].ListenPort}");
        Assert.Equal("b", registration.Labels["a"]);
        Assert.Equal(Health.Types.State.Passing, registration.Health);
        await Eventually.TrueAsync(() => client!.Registered);
    }

    [Fact]
    public async Task Says_how_the_application_does_and_does_not_flap()
    {
        app.Start();
        var port = Start();
        await NextAsync();
        app.Stop();
        var sick = await NextAsync(advance: true);
        Assert.Equal(Health.Types.State.Critical, sick.Health.State);
        Assert.Contains($"the application does not accept on 127.0.0.1:{port}", sick.Health.Detail, StringComparison.Ordinal);
        using var back = new TcpListener(IPAddress.Loopback, port);
        back.Start();
        Assert.Equal(Health.Types.State.Passing, (await NextAsync(advance: true)).Health.State);
    }

    [Fact]
    public async Task A_port_that_nobody_serves_keeps_no_other_out()
    {
        app.Start();
        using var idle = new TcpListener(IPAddress.Loopback, FreePorts.One());
        idle.Start();
        var number = ((IPEndPoint)idle.LocalEndpoint).Port;
        idle.Stop();
        var serving = Start(more: number);
        var registration = (await NextAsync()).Register;
        Assert.Equal(Health.Types.State.Passing, registration.Health);
        Assert.Equal([(uint)number], registration.PortsDown);
        Assert.Contains($"does not accept on 127.0.0.1:{number}", registration.HealthDetail, StringComparison.Ordinal);

        using var there = new TcpListener(IPAddress.Loopback, number);
        there.Start();
        var well = (await NextAsync(advance: true)).Health;
        Assert.Equal((Health.Types.State.Passing, 0, ""), (well.State, well.PortsDown.Count, well.Detail));
        app.Stop();
        var half = (await NextAsync(advance: true)).Health;
        Assert.Equal((Health.Types.State.Passing, (uint)serving), (half.State, Assert.Single(half.PortsDown)));
        there.Stop();
        var none = (await NextAsync(advance: true)).Health;
        Assert.Equal((Health.Types.State.Critical, 0), (none.State, none.PortsDown.Count));
    }

    [Fact]
    public async Task A_port_that_comes_late_is_seen_at_once()
    {
        app.Start();
        var late = FreePorts.One();
        Start(more: late);
        Assert.Equal([(uint)late], (await NextAsync()).Register.PortsDown);
        await Eventually.TrueAsync(() => client!.Registered && time.ActiveTimers > 0);
        using var there = new TcpListener(IPAddress.Loopback, late);
        there.Start();
        var next = updates.Reader.ReadAsync().AsTask();
        for (var i = 0; i < 5 && !next.IsCompleted; i++)
        {
            await Eventually.TrueAsync(() => time.ActiveTimers > 0 || next.IsCompleted);
            time.Advance(TimeSpan.FromMilliseconds(100));
            await Task.WhenAny(next, Task.Delay(200));
        }

        Assert.Empty((await next.WaitAsync(TimeSpan.FromSeconds(20))).Health.PortsDown);
    }

    [Fact]
    public async Task Says_again_what_it_is_when_its_addresses_change()
    {
        app.Start();
        Start();
        Assert.Empty((await NextAsync()).Register.MoreAddresses);
        more = [new OwnAddress { Address = "2001:db8::1" }];
        Assert.Equal("2001:db8::1", Assert.Single((await NextAsync(advance: true)).Register.MoreAddresses).Address);
        more = [];
        Assert.Empty((await NextAsync(advance: true)).Register.MoreAddresses);
    }

    [Theory]
    [InlineData("10.0.0.1", true)]
    [InlineData("127.0.0.1", false)]
    public async Task Who_serves_nothing_says_where_it_calls_from(string address, bool registers)
    {
        StartClient(address);
        if (!registers)
        {
            await running.WaitAsync(TimeSpan.FromSeconds(20));
            return;
        }

        var said = (await NextAsync()).Register;
        Assert.Equal(("", 0, "10.0.0.1", "web", Health.Types.State.Passing), (said.Service, said.Ports.Count, said.Address, said.Labels["app"], said.Health));
        // Nobody waits for what it may not.
        answer = _ => new WorkloadAck { Status = WorkloadAck.Types.Status.Refused, Message = "no" };
        more = [new OwnAddress { Address = "2001:db8::1" }];
        await NextAsync(advance: true);
        await Eventually.TrueAsync(() => !client!.Registered);
        Assert.Equal("", client!.Refusal);
    }

    [Fact]
    public async Task Comes_back_when_the_stream_breaks()
    {
        app.Start();
        Start();
        Assert.NotNull((await NextAsync()).Register);
        hangUp.SetResult();
        Assert.Equal("web-1", (await NextAsync(advance: true)).Register.Id);
    }

    [Fact]
    public async Task Leaves_with_a_word()
    {
        app.Start();
        Start();
        await NextAsync();
        await Eventually.TrueAsync(() => client!.Registered);
        client!.Leave();
        Assert.Equal("stopping", (await NextAsync()).Leaving.Reason);
        await running.WaitAsync(TimeSpan.FromSeconds(20));
    }

    [Fact]
    public async Task A_refusal_is_shown_with_its_reason()
    {
        app.Start();
        answer = _ => new WorkloadAck { Status = WorkloadAck.Types.Status.Refused, Message = "the service \"web\" belongs to somebody else" };
        Start();
        await NextAsync();
        await Eventually.TrueAsync(() => client!.Refusal.Length > 0);
        Assert.Equal("the service \"web\" belongs to somebody else", client!.Refusal);
        Assert.False(client.Registered);
        answer = _ => new WorkloadAck { Status = WorkloadAck.Types.Status.Accepted };
        await NextAsync(advance: true);
        await Eventually.TrueAsync(() => client.Refusal.Length == 0 && client.Registered);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\n\r\n", true)]
    [InlineData("HTTP/1.0 302 Found\r\n\r\n", true)]
    [InlineData("HTTP/1.1 503 Busy\r\n\r\n", false)]
    [InlineData("HTTP/1.1", false)]
    [InlineData("", false)]
    [InlineData("SSH-2.0-OpenSSH_9.2\r\n", false)]
    public async Task Http_health(string response, bool passing)
    {
        app.Start();
        var serving = ServeOnceAsync(response);
        var look = await AppLook.TakeAsync([(IPEndPoint)app.LocalEndpoint], "/healthz", _ => true, TimeProvider.System, CancellationToken.None);
        Assert.Equal(passing, look.Page!.Value.Passing);
        Assert.True(look.Ports[0]!.Value.Passing);
        Assert.StartsWith("GET /healthz HTTP/1.1\r\n", await serving, StringComparison.Ordinal);
    }

    public async ValueTask DisposeAsync()
    {
        client?.Leave();
        hangUp.TrySetResult();
        await running.WaitAsync(TimeSpan.FromSeconds(20));
        channel?.Dispose();
        app.Dispose();
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await plane!.StopAsync(now.Token);
        await plane.DisposeAsync();
    }

    Task IAsyncLifetime.DisposeAsync() => DisposeAsync().AsTask();

    private void StartClient(string address) => Begin(new Workload { Id = "web-1", Service = "web", Namespace = "shop", Address = address });

    private void Begin(Workload workload)
    {
        channel = new GrpcChannel(new Uri(plane!.Urls.First()).Authority);
        client = new RegistrationClient(channel, workload, new RegistrationSettings(null, time, new Randomness(1)) { MoreAddresses = () => more }, Log.Silent);
        running = client.RunAsync();
    }

    private int Start(int? port = null, int? more = null)
    {
        var number = port ?? ((IPEndPoint)app.LocalEndpoint).Port;
        var workload = new Workload
        {
            Id = "web-1",
            Service = "web",
            Namespace = "shop",
            Version = "v2",
            Address = "10.0.0.1",
            Zone = "z1",
            Labels = new Dictionary<string, string> { ["a"] = "b" }.ToImmutableSorted(),
            Ports = [new WorkloadPort(number, "http", "http", new IPEndPoint(IPAddress.Loopback, 41000)), .. more is { } second ? [new WorkloadPort(second, "more", "", new IPEndPoint(IPAddress.Loopback, 41001))] : Array.Empty<WorkloadPort>()],
        };
        Begin(workload);
        return number;
    }

    private async Task ServeAsync(MessageReader<WorkloadUpdate> requests, MessageWriter<WorkloadAck> responses, ServerCallContext context)
    {
        var end = hangUp;
        var reading = Task.Run(async () =>
        {
            while (await requests.ReadAsync(context.Cancellation) is { } update)
            {
                updates.Writer.TryWrite(update);
                await responses.WriteAsync(answer(update), context.Cancellation);
            }
        });
        await Task.WhenAny(reading, end.Task);
        if (end.Task.IsCompleted) hangUp = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>The next update; with <paramref name="advance"/>, time passes until it comes.</summary>
    private async Task<WorkloadUpdate> NextAsync(bool advance = false)
    {
        var next = updates.Reader.ReadAsync().AsTask();
        while (advance && !next.IsCompleted)
        {
            if (time.ActiveTimers > 0) time.Advance(TimeSpan.FromSeconds(1));
            await Task.WhenAny(next, Task.Delay(5));
        }

        return await next.WaitAsync(TimeSpan.FromSeconds(20));
    }

    private async Task<string> ServeOnceAsync(string response)
    {
        using var probe = await app.AcceptTcpClientAsync();
        var buffer = new byte[1024];
        var read = await probe.GetStream().ReadAsync(buffer);
        await probe.GetStream().WriteAsync(System.Text.Encoding.ASCII.GetBytes(response));
        return System.Text.Encoding.ASCII.GetString(buffer, 0, read);
    }
}

file static class Sorted
{
    public static System.Collections.Immutable.ImmutableSortedDictionary<string, string> ToImmutableSorted(this Dictionary<string, string> all) =>
        System.Collections.Immutable.ImmutableSortedDictionary.CreateRange(all);
}
