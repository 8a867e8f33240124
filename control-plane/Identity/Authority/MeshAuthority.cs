using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Joining;
using Mesh.ControlPlane.Identity.Stores;

namespace Mesh.ControlPlane.Identity.Authority;

/// <summary>
/// Looks after an authority of the mesh's own: made once by whichever control plane comes first, shared through the store, its issuing
/// certificate replaced in time. Owned by the program, which runs <see cref="RunAsync"/> once; everything else is thread safe.
/// </summary>
internal sealed class MeshAuthority : IDisposable
{
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(5);
    private readonly CertificateAuthority authority;
    private readonly IAuthorityStore store;
    private readonly TimeProvider time;
    private readonly Log log;
    private readonly SemaphoreSlim turn = new(1);
    private volatile AuthorityState state;
    private bool isAway;

    private MeshAuthority(CertificateAuthority authority, IAuthorityStore store, AuthorityState state, TimeProvider time, Log log)
    {
        (this.authority, this.store, this.state, this.time, this.log) = (authority, store, state, time, log);
        authority.Use(state.Open());
    }

    /// <summary>The authority as it was last seen in the store.</summary>
    public AuthorityState State => state;

    /// <summary>
    /// Opens the authority of a store, and makes it when there is none. A <see cref="StoreException"/> says what stands in the way; nothing
    /// is half made then.
    /// </summary>
    public static async Task<MeshAuthority> OpenAsync(CertificateAuthority authority, IAuthorityStore store, TimeProvider time, Log log, CancellationToken stop)
    {
        var entry = await store.ReadAsync(AuthorityState.EntryName, stop);
        if (entry is null)
        {
            await RefuseToReplaceAsync(store, stop);
            var made = AuthorityState.Create(authority.TrustDomain, authority.Lifetimes, time.GetUtcNow());
            if (await store.CreateAsync(AuthorityState.EntryName, made.Write(), stop))
                log.Info("a certificate authority was made", ("trust_domain", authority.TrustDomain), ("root", made.Issuing), ("kept_in", store.Place));
            // Read again in any case: another control plane may have been first.
            entry = await store.ReadAsync(AuthorityState.EntryName, stop) ?? throw new StoreException($"{AuthorityState.EntryName} in {store.Place} was made and is gone again");
        }

        return new MeshAuthority(authority, store, Read(entry, authority.TrustDomain, store), time, log);
    }

    /// <summary>Follows the store and renews the issuing certificate, until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        string? mark = null;
        while (true)
        {
            try
            {
                mark = await store.WaitAsync("ca", mark, stop);
                await MaintainAsync(stop);
                if (isAway) log.Info("the authority's store is back", ("store", store.Place));
                isAway = false;
            }
            catch (StoreException e)
            {
                if (!isAway) log.Error("the authority's store cannot be used; certificates are issued with what is known", ("error", e.Message));
                isAway = true;
                await Task.Delay(RetryAfter, time, stop);
            }
        }
    }

    /// <summary>Takes up what others changed, and replaces an issuing certificate that nears its end.</summary>
    public async Task MaintainAsync(CancellationToken stop)
    {
        await UpdateAsync(
            seen =>
            {
                var now = time.GetUtcNow();
                var due = seen.Roots.Where(root => root.Issuer is not null && IsDue(root, now)).ToList();
                return due.Count == 0 ? null : due.Aggregate(seen, (next, root) => next with { Roots = next.Roots.Replace(root, root.WithNewIssuer(seen.TrustDomain, authority.Lifetimes, now)) });
            },
            "a new issuing certificate is in use", stop);
    }

    /// <summary>
    /// Changes the authority: <paramref name="change"/> gets what is in the store now and answers what shall be there, or null for no change; it is
    /// asked again when another control plane was faster. Answers with what is in the store then, which is in use here.
    /// </summary>
    public async Task<AuthorityState> UpdateAsync(Func<AuthorityState, AuthorityState?> change, string done, CancellationToken stop)
    {
        // One at a time: what was read first must not be taken into use last.
        await turn.WaitAsync(stop);
        try
        {
            return await ChangeAsync(change, done, stop);
        }
        finally
        {
            turn.Release();
        }
    }

    private async Task<AuthorityState> ChangeAsync(Func<AuthorityState, AuthorityState?> change, string done, CancellationToken stop)
    {
        while (true)
        {
            var entry = await store.ReadAsync(AuthorityState.EntryName, stop)
                ?? throw new StoreException($"{AuthorityState.EntryName} is gone from {store.Place}: bring it back from a backup; without it no control plane starts again, and a new authority would be believed by nobody");
            var seen = Read(entry, authority.TrustDomain, store);
            var next = change(seen);
            if (next is null) return Use(seen);
            if (!await store.ReplaceAsync(entry, next.Write(), stop)) continue;
            log.Info(done, ("issuing_root", next.Issuing), ("roots", next.Roots.Length));
            return Use(next);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => turn.Dispose();

    // A store that has known an authority and has none now has lost it: a new one would be believed by nobody.
    private static async Task RefuseToReplaceAsync(IAuthorityStore store, CancellationToken stop)
    {
        if (await store.ReadAsync(JoinTokens.KeyEntry, stop) is null || await store.ReadAsync(AuthorityState.EntryName, stop) is not null) return;
        throw new StoreException($"{AuthorityState.EntryName} is gone from {store.Place}, where there was an authority before: bring it back from a backup; "
            + $"or delete {JoinTokens.KeyEntry} there to begin anew with one that no running workload believes");
    }

    private AuthorityState Use(AuthorityState newest)
    {
        authority.Use(newest.Open());
        return state = newest;
    }

    // What cannot be renewed for longer, because its root ends, is not renewed again and again.
    private static bool IsDue(StoredRoot root, DateTimeOffset now)
    {
        var issuer = root.OpenIssuer();
        return now >= Lifetimes.RenewIssuerAt(issuer.NotBefore, issuer.NotAfter) && issuer.NotAfter < new DateTimeOffset(issuer.Root.NotAfter.ToUniversalTime(), TimeSpan.Zero);
    }

    private static AuthorityState Read(StoredEntry entry, string trustDomain, IAuthorityStore store)
    {
        try
        {
            var read = AuthorityState.Read(entry.Content.Span);
            if (read.TrustDomain != trustDomain)
                throw new FormatException($"it is the authority of the trust domain {read.TrustDomain}, and --trust-domain says {trustDomain}");
            read.Open();
            return read;
        }
        catch (FormatException e)
        {
            throw new StoreException($"{AuthorityState.EntryName} in {store.Place} cannot be used: {e.Message}", e);
        }
    }
}
