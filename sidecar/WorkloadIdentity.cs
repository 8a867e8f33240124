using System.Net;
using System.Net.Sockets;
using System.Text;
using Mesh.Api.Grpc;
using Mesh.Api.Identity;
using Mesh.Api.Identity.Agent;
using Mesh.Api.Logging;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar;

/// <summary>
/// The identity of the workload beside this sidecar: gets and renews it, uses it for new handshakes at once, shares it with local programs,
/// and follows whom the control plane says to believe. Made at start, run and disposed by Program.
/// </summary>
internal sealed class WorkloadIdentity : IAsyncDisposable
{
    private const string TokenVariable = "MESH_JOIN_TOKEN";
    private static readonly TimeSpan LongestRenewal = TimeSpan.FromSeconds(10);
    private readonly Security security;
    private readonly IdentityAgent agent;
    private readonly string? socket;
    private readonly TimeProvider time;
    private readonly IPAddress? own;
    private readonly Log log;
    private SdsServer? shared;
    private long certificates;
    private long ended;

    /// <summary>Made from flags; throws <see cref="IOException"/> in words where they cannot be used.</summary>
    public WorkloadIdentity(Flags flags, Security security, TimeProvider time, Random random, Log log)
    {
        (this.security, this.time, this.log, socket) = (security, time, log, flags.Sds);
        // Where this workload registers as what it is: a control plane of both families has to see that very address.
        own = flags.Address is { } given ? IPAddress.TryParse(given, out var address) ? address : null : flags.Capture is null ? null : MachineAddress.Find();
        try
        {
            agent = new IdentityAgent(Options(flags), log, time, random);
        }
        catch (FormatException e)
        {
            throw new IOException(e.Message, e);
        }

        agent.Changed += Take;
    }

    /// <summary>What is missing; empty when certified.</summary>
    public string WaitingFor => agent.Current is null ? "no certificate yet: the log says what was tried" : "";

    /// <summary>How to speak to the control plane: with the certificate of the moment.</summary>
    public GrpcChannelOptions ChannelOptions => new() { Time = time, Tls = agent.ControlPlaneTls, OwnAddress = own };

    /// <summary>The SPIFFE ID of the certificate held; null without one.</summary>
    public string? Id => agent.Current?.Svid.Id.ToString();

    /// <summary>Takes the certificate of the identity folder now, if it can be used; the first thing to do, or nothing.</summary>
    public void UseKept() => agent.UseKept();

    /// <summary>Completes with the first certificate.</summary>
    public Task CertifiedAsync(CancellationToken cancel) => agent.CertifiedAsync(cancel);

    /// <summary>Shows what it knows as metrics. Call once, at start.</summary>
    public void Observe(SidecarMetrics own)
    {
        own.Observe("mesh_sidecar_certificate_expiry_timestamp_seconds", "End of the workload's certificate, in seconds since 1970; 0 without one.", grows: false,
            () => agent.Current?.Svid.NotAfter.ToUnixTimeSeconds() ?? 0);
        own.Observe("mesh_sidecar_certificates_obtained_total", "Certificates obtained, the first and each renewal.", grows: true, () => Volatile.Read(ref certificates));
        own.Observe("mesh_sidecar_certificate_failures_total", "Attempts to obtain or renew the certificate that failed.", grows: true, () => agent.Failures);
        own.Observe("mesh_sidecar_secured_connections_open", "Connections over mutual TLS that are open, both ways.", grows: false, () => security.Connections.Open);
        own.Observe("mesh_sidecar_revoked_identities", "Identities that are revoked.", grows: false, () => security.Connections.Revoked);
        own.Observe("mesh_sidecar_revoked_connections_total", "Connections ended because their peer's identity was revoked.", grows: true, () => Volatile.Read(ref ended));
    }

    /// <summary>
    /// Asks for a new certificate now, and waits for it within the bound: its serial number, or null with what is in the way. For operators and
    /// their rehearsals; sidecars renew by themselves.
    /// </summary>
    public async Task<(string? Serial, string Problem)> RenewAsync(CancellationToken cancel)
    {
        if (agent.Current?.Svid is not { } held) return (null, WaitingFor);
        var renewed = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        agent.Changed += Look;
        try
        {
            agent.RenewSoon();
            return (await renewed.Task.WaitAsync(LongestRenewal, time, cancel), "");
        }
        catch (TimeoutException)
        {
            return (null, $"no new certificate came in {LongestRenewal.TotalSeconds:0} s: the log says why; the one that is held serves on until {held.NotAfter:u}");
        }
        finally
        {
            agent.Changed -= Look;
        }

        void Look()
        {
            if (agent.Current?.Svid is { } now && !ReferenceEquals(now, held)) renewed.TrySetResult(now.Certificate.SerialNumber.ToLowerInvariant());
        }
    }

    /// <summary>Takes what the control plane says of whom to believe. Called by the config loop.</summary>
    public void Follow(MeshTrust trust)
    {
        if (!trust.Roots.IsEmpty && agent.Current is { } now) agent.UpdateBundle(new TrustBundle(now.Bundle.TrustDomain, trust.Roots));
        if (trust.IssuingRoot.Length > 0) agent.RenewUnder(trust.IssuingRoot);
        var cut = security.Connections.Revoke(trust.Revoked);
        Interlocked.Add(ref ended, cut);
        if (cut > 0) log.Warn("connections of revoked identities ended", ("connections", cut), ("revoked", trust.Revoked.Length));
    }

    /// <summary>Shares the identity with local programs where a socket is wanted; throws <see cref="IOException"/> in words where it cannot be had.</summary>
    public async Task ShareAsync()
    {
        if (socket is null) return;
        try
        {
            shared = await SdsServer.StartAsync(socket, agent, log.For("sds"));
        }
        catch (Exception e) when (e is IOException or SocketException or UnauthorizedAccessException)
        {
            throw new IOException($"cannot listen on --sds {socket}: {(e.InnerException ?? e).Message}", e);
        }
    }

    /// <summary>Obtains and renews until cancelled.</summary>
    public Task RunAsync(CancellationToken stop) => agent.RunAsync(stop);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        agent.Changed -= Take;
        if (shared is not null) await shared.DisposeAsync();
    }

    private void Take()
    {
        if (agent.Current is not { } next) return;
        if (!ReferenceEquals(security.Own.Current?.Svid, next.Svid)) Interlocked.Increment(ref certificates);
        security.Own.Set(next);
    }

    private static IdentityAgentOptions Options(Flags flags)
    {
        var token = Environment.GetEnvironmentVariable(TokenVariable);
        // Not for programs that are started from here.
        Environment.SetEnvironmentVariable(TokenVariable, null);
        if (flags.TokenFile is { } file && (flags.IdentityDir is null || File.Exists(file))) token = Encoding.ASCII.GetString(SecureFiles.ReadSecret(file));
        return new IdentityAgentOptions
        {
            ControlPlane = flags.ControlPlane!,
            JoinToken = string.IsNullOrWhiteSpace(token) ? null : token.Trim(),
            CaFile = flags.CaFile,
            KubeTokenFile = flags.KubeTokenFile,
            IdentityDir = flags.IdentityDir,
            TrustDomain = flags.TrustDomain,
        };
    }
}
