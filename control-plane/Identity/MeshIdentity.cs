using Mesh.Api.Identity;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Access;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Identity.Issuing;
using Mesh.ControlPlane.Identity.Joining;
using Mesh.ControlPlane.Identity.Records;
using Mesh.ControlPlane.Identity.Rotation;
using Mesh.ControlPlane.Identity.Stores;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Identity;

/// <summary>
/// Everything about identity, put together: the authority, who may have a certificate of it, and who is let in at the mesh API. What the rest of the
/// control plane must know of it goes into the world (<see cref="Trust"/>). Owned by the program, which runs <see cref="RunAsync"/> once.
/// </summary>
internal sealed class MeshIdentity : IDisposable
{
    /// <summary>Where everything about identity lies, below the data folder.</summary>
    public const string Folder = "identity";

    private static readonly TimeSpan SweepEvery = TimeSpan.FromHours(1);
    private readonly WorldStore world;
    private readonly TimeProvider time;
    private readonly Log log;
    private readonly MeshAuthority? ours;
    private readonly OwnCertificate own;
    private readonly CallerConnections connections;
    private readonly IssuingContext issuing;
    private readonly CertificateEndpoint endpoint;
    private readonly Lock publishing = new();

    private MeshIdentity(IssuingContext issuing, (JoinTokens Tokens, Grants Grants, Holders Holders) records, KubernetesTokens? kubernetes, (MeshAuthority? Ours, OperatorAuthority? Operators, RootRotation? Rotation) keepers, WorldStore world)
    {
        (this.issuing, (Tokens, Grants, Holders), this.world, (ours, Operators, Rotation)) = (issuing, records, world, keepers);
        (time, log) = (issuing.Time, issuing.Log);
        own = new OwnCertificate(issuing.Authority, time, new Random(), log);
        connections = new CallerConnections(issuing.Authority, issuing.Revocations, time);
        endpoint = new CertificateEndpoint(issuing, new CallerCredentials(Tokens, kubernetes));
        Tls = new MeshApiTls(issuing, own, connections, new SvidVerifier(time));
        issuing.Authority.Changed += Publish;
        issuing.Revocations.Changed += Publish;
        Grants.Changed += Publish;
        Publish();
    }

    /// <summary>The authority.</summary>
    public CertificateAuthority Authority => issuing.Authority;

    /// <summary>The operator's own authority; null where the mesh has its own.</summary>
    public OperatorAuthority? Operators { get; }

    /// <summary>Changes the root of the mesh's own authority; null where the operator brings his.</summary>
    public RootRotation? Rotation { get; }

    /// <summary>Where the authority is kept, for people.</summary>
    public required string KeptIn { get; init; }

    /// <summary>Makes and takes join tokens.</summary>
    public JoinTokens Tokens { get; }

    /// <summary>What join tokens allowed.</summary>
    public Grants Grants { get; }

    /// <summary>Who holds which certificate.</summary>
    public Holders Holders { get; }

    /// <summary>The revoked identities.</summary>
    public Revocations Revocations => issuing.Revocations;

    /// <summary>What was issued and refused.</summary>
    public AuditLog Audit => issuing.Audit;

    /// <summary>TLS of the mesh API's port.</summary>
    public MeshApiTls Tls { get; }

    /// <summary>Opens or makes everything. A <see cref="StartException"/> says what stands in the way.</summary>
    /// <param name="options">The settings.</param>
    /// <param name="data">The data folder.</param>
    /// <param name="store">Where everything is kept that must not be forgotten.</param>
    /// <param name="world">Told what the rest of the control plane must know.</param>
    /// <param name="clock">Time, and the log.</param>
    /// <param name="stop">Gives up.</param>
    public static async Task<MeshIdentity> StartAsync(
        IdentityOptions options, string data, IAuthorityStore store, WorldStore world, (TimeProvider Time, Log Log) clock, CancellationToken stop)
    {
        var (time, log) = clock;
        try
        {
            var authority = new CertificateAuthority(options.TrustDomain, options.Lifetimes, time);
            var operators = options.AuthorityFolder is { } folder ? new OperatorAuthority(authority, folder, time, log) : null;
            var opened = operators is null ? await MeshAuthority.OpenAsync(authority, store, time, log, stop) : null;
            var (revocations, grants) = (new Revocations(store, time, log), new Grants(store, time, log));
            await revocations.LoadAsync(stop);
            await grants.LoadAsync(stop);
            var tokens = await JoinTokens.OpenAsync(store, grants, time, stop);
            var kubernetes = options.KubernetesKeys is { } keys ? new KubernetesTokens(keys, options.KubernetesIssuer, options.TrustDomain, time, log) : null;
            var holders = new Holders(store, time, log);
            var audit = new AuditLog(Path.Combine(data, Folder), log);
            var context = new IssuingContext(authority, revocations, audit, new IssuingMetrics(authority, revocations), time, log) { OnIssued = holders.Note };
            var rotation = opened is null ? null : new RootRotation(opened, authority, holders, store, clock);
            return new MeshIdentity(context, (tokens, grants, holders), kubernetes, (opened, operators, rotation), world)
            {
                KeptIn = options.AuthorityFolder is { } files ? $"operator's files in {files}" : store.Place,
            };
        }
        catch (Exception e) when (e is StoreException or IssuingException or IOException or UnauthorizedAccessException)
        {
            throw new StartException($"identity cannot start: {e.Message}", e);
        }
    }

    /// <summary>Adds what the mesh API has of identity to an application: who is let in, and certificates.</summary>
    public void Map(WebApplication application)
    {
        var check = new CallerCheck(Authority, Revocations, time);
        application.Use(check.CheckAsync);
        endpoint.Map(application);
    }

    /// <summary>The caller leaves the mesh for good: nobody waits for its certificate any more.</summary>
    public void Left(HttpContext http)
    {
        if (http.Connection.ClientCertificate is { } certificate && Holder.TryRead(certificate, out var holder)) Holders.Forget(holder.Id);
    }

    /// <summary>Runs until <paramref name="stop"/>.</summary>
    public Task RunAsync(CancellationToken stop) => Loops.RunAsync(
        stop, token => ours?.RunAsync(token) ?? Operators!.RunAsync(token), token => Rotation?.RunAsync(token) ?? Task.CompletedTask,
        own.RunAsync, Revocations.RunAsync, Grants.RunAsync, Holders.RunAsync, connections.RunAsync, SweepAsync);

    /// <inheritdoc/>
    public void Dispose()
    {
        Authority.Changed -= Publish;
        Revocations.Changed -= Publish;
        Grants.Changed -= Publish;
        connections.Dispose();
        own.Dispose();
        ours?.Dispose();
        issuing.Metrics.Dispose();
    }

    // In turns: an older answer must not be published last.
    private void Publish()
    {
        lock (publishing)
        {
            world.SetTrust(new Trust
            {
                Domain = Authority.TrustDomain,
                RootsPem = Authority.Current.Bundle.ToPem(),
                Revoked = [.. Revocations.All.Select(revoked => revoked.Identity)],
                Grants = Grants.Current,
                IssuingRoot = Authority.Current.Issuer.RootId,
            });
        }
    }

    private async Task SweepAsync(CancellationToken stop)
    {
        while (true)
        {
            try
            {
                await Tokens.SweepAsync(stop);
                await Holders.SweepAsync(stop);
            }
            catch (StoreException e)
            {
                log.Warn("what is over cannot be cleared away; that is tried again", ("after", SweepEvery), ("error", e.Message));
            }

            await Task.Delay(SweepEvery, time, stop);
        }
    }
}
