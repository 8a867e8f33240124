using Mesh.ControlPlane.Sources.Consul;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>
/// Shows to the other replicas that this one lives: a session in the registry that holds the key <c>mesh/replicas/&lt;owner&gt;</c> and has to
/// be renewed. One loop; on a graceful end the session is given up at once.
/// </summary>
internal sealed class ReplicaSession(ConsulClient client, string owner, WorkloadContext context)
{
    private static readonly TimeSpan Farewell = TimeSpan.FromSeconds(2);
    private readonly ReplicaRecord record = new(owner, context.Clock.Time.GetUtcNow());
    private readonly Signal wake = new();
    private string? session;
    private volatile bool held;

    /// <summary>True while the session was renewed within its life. Who is not seen to live does not judge whether others do.</summary>
    public bool Held => held;

    /// <summary>Looks after the session now: the registry may have forgotten it.</summary>
    public void Renew() => wake.Set();

    /// <summary>Holds the key until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        var failures = 0;
        try
        {
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    held = await HoldAsync(stop);
                    failures = 0;
                    await wake.WaitAsync(context.Options.RenewPeriod, context.Clock.Time, stop);
                }
                catch (ConsulException e)
                {
                    // The session may live on; it is renewed if it does. But nobody can be sure, so we are not.
                    held = false;
                    if (++failures == 1)
                        context.Log.Warn("this control plane cannot show that it lives; orphans are not collected meanwhile", ("error", e.Message));
                    await wake.WaitAsync(context.Options.Backoff.After(failures, context.Clock), context.Clock.Time, stop);
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
        }
        finally
        {
            held = false;
            await GiveUpAsync();
        }
    }

    private async Task<bool> HoldAsync(CancellationToken stop)
    {
        if (session is not null && !await RenewAsync(session, stop)) session = null;
        session ??= await CreateAsync(stop);
        // Each time again: the key may have been deleted by hand.
        var path = $"/v1/kv/{MeshMeta.ReplicaKeys}{Uri.EscapeDataString(owner)}?acquire={session}";
        return (await client.WriteAsync(path, record, ConsulJson.Default.ReplicaRecord, ConsulJson.Default.Boolean, stop)).Value;
    }

    private async Task<string> CreateAsync(CancellationToken stop)
    {
        var request = new SessionRequest($"mesh control plane {owner}", $"{(int)context.Options.SessionTtl.TotalSeconds}s", "delete", "0s");
        var answer = await client.WriteAsync(
            "/v1/session/create", request, ConsulJson.Default.SessionRequest, ConsulJson.Default.SessionId, stop);
        return answer.Value?.Id ?? throw new ConsulException(HttpMethod.Put, "/v1/session/create", "the answer holds no session id");
    }

    private async Task<bool> RenewAsync(string id, CancellationToken stop)
    {
        var answer = await client.WriteAsync<SessionRequest, SessionRenewal[]>(
            $"/v1/session/renew/{id}", null, ConsulJson.Default.SessionRequest, ConsulJson.Default.SessionRenewalArray, stop);
        return answer.Found;
    }

    private async Task GiveUpAsync()
    {
        if (session is null) return;
        using var patience = new CancellationTokenSource(Farewell, context.Clock.Time);
        try
        {
            await client.WriteAsync<SessionRequest, bool>(
                $"/v1/session/destroy/{session}", null, ConsulJson.Default.SessionRequest, ConsulJson.Default.Boolean, patience.Token);
        }
        catch (Exception e) when (e is ConsulException or OperationCanceledException)
        {
            // It ends by itself after its time.
        }
    }
}
