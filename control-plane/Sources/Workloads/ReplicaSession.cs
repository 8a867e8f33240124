using Mesh.ControlPlane.Sources.Consul;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>
/// Shows to the other replicas that this one lives: a session in the registry that holds the key <c>mesh/replicas/&lt;id&gt;</c> and has to be
/// renewed. One loop; on a graceful end the session is given up at once.
/// </summary>
internal sealed class ReplicaSession(ConsulClient client, string replica, WorkloadContext context)
{
    private static readonly TimeSpan Farewell = TimeSpan.FromSeconds(2);
    private readonly DateTimeOffset started = context.Clock.Time.GetUtcNow();
    private readonly Signal wake = new();
    private string? session;
    private bool everHeld;

    /// <summary>True while the session was renewed within its life. Who is not seen to live does not judge whether others do.</summary>
    public bool Held { get; private set; }

    /// <summary>Looks after the session now: the registry may have forgotten it.</summary>
    public void Renew() => wake.Set();

    /// <summary>The key of a replica.</summary>
    public static string KeyOf(string replica) => MeshMeta.ReplicaKeys + Uri.EscapeDataString(replica);

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
                    Held = await HoldAsync(stop);
                    failures = 0;
                    await wake.WaitAsync(context.Options.RenewPeriod, context.Clock.Time, stop);
                }
                catch (ConsulException e)
                {
                    // The session may live on; it is renewed if it does. But nobody can be sure, so we are not.
                    Held = false;
                    if (++failures == 1) context.Log.Warn("this replica cannot show that it lives; orphans are not collected meanwhile", ("replica", replica), ("error", e.Message));
                    await wake.WaitAsync(context.Options.Backoff.After(failures, context.Clock), context.Clock.Time, stop);
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
        }
        finally
        {
            Held = false;
            await GiveUpAsync();
        }
    }

    private async Task<bool> HoldAsync(CancellationToken stop)
    {
        if (session is not null && !await RenewAsync(session, stop)) session = null;
        session ??= await CreateAsync(stop);
        if (await AcquireAsync(session, stop)) return everHeld = true;
        if (everHeld)
        {
            context.Log.Error("another control plane runs under the same replica id; give each its own --replica-id", ("replica", replica));
            return false;
        }

        // At the start the holder is our own previous run, which had no time to say goodbye.
        await EndHolderAsync(stop);
        return everHeld = await AcquireAsync(session, stop);
    }

    private async Task<string> CreateAsync(CancellationToken stop)
    {
        var request = new SessionRequest($"mesh control plane {replica}", $"{(int)context.Options.SessionTtl.TotalSeconds}s", "delete", "0s");
        var answer = await client.WriteAsync("/v1/session/create", request, ConsulJson.Default.SessionRequest, ConsulJson.Default.SessionId, stop);
        return answer.Value?.Id ?? throw new ConsulException(HttpMethod.Put, "/v1/session/create", "the answer holds no session id");
    }

    private async Task<bool> RenewAsync(string id, CancellationToken stop) =>
        (await client.WriteAsync<SessionRequest, SessionRenewal[]>($"/v1/session/renew/{id}", null, ConsulJson.Default.SessionRequest, ConsulJson.Default.SessionRenewalArray, stop)).Found;

    private async Task<bool> AcquireAsync(string id, CancellationToken stop) =>
        (await client.WriteAsync($"/v1/kv/{KeyOf(replica)}?acquire={id}", new ReplicaRecord(replica, started), ConsulJson.Default.ReplicaRecord, ConsulJson.Default.Boolean, stop)).Value;

    private async Task EndHolderAsync(CancellationToken stop)
    {
        var holder = await client.ReadAsync($"/v1/kv/{KeyOf(replica)}", ConsulJson.Default.KvPairArray, stop);
        if (holder.Value?.FirstOrDefault()?.Session is { Length: > 0 } old) await DestroyAsync(old, stop);
    }

    private Task DestroyAsync(string id, CancellationToken stop) =>
        client.WriteAsync<SessionRequest, bool>($"/v1/session/destroy/{id}", null, ConsulJson.Default.SessionRequest, ConsulJson.Default.Boolean, stop);

    private async Task GiveUpAsync()
    {
        if (session is null) return;
        using var patience = new CancellationTokenSource(Farewell, context.Clock.Time);
        try
        {
            await DestroyAsync(session, patience.Token);
        }
        catch (Exception e) when (e is ConsulException or OperationCanceledException)
        {
            // It ends by itself after its time.
        }
    }
}
