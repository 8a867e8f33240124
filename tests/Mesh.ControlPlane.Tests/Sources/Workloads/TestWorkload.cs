using Mesh.Api.Grpc;
using Mesh.Api.V1;
using Mesh.Api.Workloads;

namespace Mesh.ControlPlane.Tests.Sources.Workloads;

/// <summary>A sidecar as far as registration goes: one stream. Disposing it breaks the stream.</summary>
internal sealed class TestWorkload : IAsyncDisposable
{
    private readonly GrpcChannel channel;
    private readonly CancellationTokenSource life = new();
    private bool disposed;
    private readonly GrpcCall<WorkloadUpdate, WorkloadAck> call;

    public TestWorkload(string address, string? identity = null)
    {
        channel = new GrpcChannel(address);
        call = channel.Open(WorkloadMethods.Register, TestCaller.As(identity), life.Token);
    }

    public static Registration Registration(string id, string service) => new()
    {
        Id = id,
        Service = service,
        Address = "127.0.0.1",
        Version = "v1",
        Zone = "z1",
        Workload = service + "-deployment",
        Labels = { ["team"] = "a" },
        Ports = { new Port { Name = "http", Port_ = 8080, Protocol = "http", ListenAddress = "127.0.0.1", ListenPort = 41000 } },
    };

    /// <summary>Connects, registers, and is ACCEPTED.</summary>
    public static async Task<TestWorkload> RegisterAsync(TestReplica replica, string id, string service, string? identity = null)
    {
        var workload = new TestWorkload(replica.Address, identity);
        var registration = Registration(id, service);
        if (identity is not null) registration.Namespace = identity.Split('/')[0];
        var ack = await workload.SendAsync(new WorkloadUpdate { Register = registration });
        Assert.Equal((WorkloadAck.Types.Status.Accepted, replica.Name, ""), (ack.Status, ack.RegisteredBy, ack.Message));
        return workload;
    }

    public async Task<WorkloadAck> SendAsync(WorkloadUpdate update)
    {
        await call.WriteAsync(update, life.Token);
        return await ReadAsync() ?? throw new InvalidOperationException("the stream has ended");
    }

    public Task WriteAsync(WorkloadUpdate update) => call.WriteAsync(update, life.Token);

    public async Task<WorkloadAck?> ReadAsync()
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(life.Token);
        patience.CancelAfter(TimeSpan.FromSeconds(20));
        return await call.ReadAsync(patience.Token);
    }

    /// <summary>How the stream ends.</summary>
    public async Task<GrpcException> EndAsync() => await Assert.ThrowsAsync<GrpcException>(async () =>
    {
        while (await ReadAsync() is not null)
        {
        }
    });

    public async ValueTask DisposeAsync()
    {
        if (disposed) return;
        disposed = true;
        await life.CancelAsync();
        await call.DisposeAsync();
        channel.Dispose();
        life.Dispose();
    }
}
