using Mesh.Api.Identity;
using Mesh.Api.Identity.Agent;
using Mesh.Api.Logging;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>An agent whose loop runs as long as its test.</summary>
internal sealed class RunningAgent : IAsyncDisposable
{
    private readonly CancellationTokenSource life = new();
    private readonly Task running;

    public RunningAgent(IdentityAgentOptions options, TimeProvider time, int seed = 1)
    {
        Agent = new IdentityAgent(options, Log.To(Lines, Level.Debug, time), time, new Random(seed));
        Agent.Changed += () => Interlocked.Increment(ref changes);
        running = Task.Run(() => Agent.RunAsync(life.Token));
    }

    private int changes;

    public IdentityAgent Agent { get; }

    public LogLines Lines { get; } = new();

    public int Changes => Volatile.Read(ref changes);

    public async Task<Credentials> CertifiedAsync()
    {
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        try
        {
            return await Agent.CertifiedAsync(bound.Token);
        }
        catch (OperationCanceledException e)
        {
            throw new InvalidOperationException("not certified:\n" + Lines, e);
        }
    }

    public Task SaysAsync(string text) => Eventually.TrueAsync(() => Lines.Has(text), () => $"'{text}' in\n{Lines}");

    public async ValueTask DisposeAsync()
    {
        await life.CancelAsync();
        await running;
        life.Dispose();
    }
}
