using System.Net.Security;
using Mesh.Api.Logging;

namespace Mesh.Api.Identity.Agent;

/// <summary>
/// Gets this workload's certificate from the control plane and keeps it fresh. The key is made here and never leaves. Safe from any
/// thread; <see cref="RunAsync"/> is run once by its owner and ends by its cancellation.
/// </summary>
public sealed class IdentityAgent(IdentityAgentOptions options, Log log, TimeProvider time, Random random)
{
    private volatile Credentials? current;

    /// <summary>Raised after <see cref="Current"/> has changed; handlers must be quick and not throw.</summary>
    public event Action? Changed;

    /// <summary>The newest certificate and roots; null until certified.</summary>
    public Credentials? Current => current;

    /// <summary>Obtains and renews until cancelled. What goes wrong is logged and tried again.</summary>
    public Task RunAsync(CancellationToken cancellation)
    {
        log.Debug("not there yet", ("control-plane", options.ControlPlane), ("now", time.GetUtcNow()), ("r", random.Next()));
        return Task.Delay(Timeout.InfiniteTimeSpan, time, cancellation);
    }

    /// <summary>Waits for the first certificate.</summary>
    public Task<Credentials> CertifiedAsync(CancellationToken cancellation) => throw new NotSupportedException();

    /// <summary>Takes roots that came another way (ADS); they are believed as what carried them was.</summary>
    public void UpdateBundle(TrustBundle bundle)
    {
        if (current is not { } now) return;
        current = now with { Bundle = bundle };
        Changed?.Invoke();
    }

    /// <summary>
    /// TLS towards the control plane with the certificate and roots of this moment, its SPIFFE ID checked: for
    /// <c>GrpcChannelOptions.Tls</c> of ADS, registration and telemetry.
    /// </summary>
    public SslClientAuthenticationOptions ControlPlaneTls() => throw new NotSupportedException();
}
