using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;
using Mesh.Api.Logging;

namespace Mesh.ControlPlane.Identity.Authority;

/// <summary>
/// Looks after an authority the operator brings as files, and takes up changed ones without a restart: a new root is believed first and issues
/// later, an old one is believed as long as certificates under it live. Bad files change nothing: the last good ones serve on. Owned by the
/// program, which runs <see cref="RunAsync"/> once.
/// </summary>
internal sealed class OperatorAuthority
{
    /// <summary>How often the files are looked at.</summary>
    public static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);

    /// <summary>How long a root must be in the bundle before certificates under it are issued: sidecars have it by then.</summary>
    public static readonly TimeSpan Spread = TimeSpan.FromSeconds(30);

    private readonly CertificateAuthority authority;
    private readonly string folder;
    private readonly TimeProvider time;
    private readonly Log log;
    private readonly List<(X509Certificate2 Root, DateTimeOffset Until)> retained = [];
    private IssuingAuthority files;
    private string taken;
    private string? refused;
    private string? seen;
    private string? judged;
    private DateTimeOffset? issueFrom;

    /// <summary>Takes the files of a folder into use; a <see cref="StartException"/> says what is wrong with them.</summary>
    public OperatorAuthority(CertificateAuthority authority, string folder, TimeProvider time, Log log)
    {
        (this.authority, this.folder, this.time, this.log) = (authority, folder, time, log);
        try
        {
            var read = OperatorFiles.Read(folder);
            (files, taken) = (read.Open(authority.TrustDomain, time), read.Fingerprint);
        }
        catch (Exception e) when (e is FormatException or IOException or UnauthorizedAccessException)
        {
            throw new StartException($"--ca-dir {folder}: {e.Message}", e);
        }

        authority.Use(files);
    }

    /// <summary>What is wrong with the files now; null when they are in use.</summary>
    public string? Problem => Volatile.Read(ref refused);

    /// <summary>Follows the files until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (true)
        {
            await Task.Delay(LookEvery, time, stop);
            Look();
        }
    }

    /// <summary>Looks once.</summary>
    public void Look()
    {
        var (read, problem) = Read();
        // Files change one after the other: what was seen counts when two looks saw the same.
        var now = read?.Fingerprint ?? problem!;
        var isStill = now == seen;
        seen = now;
        if (isStill && read is null) Refuse(problem!, problem != refused);
        else if (isStill && read!.Fingerprint == taken) Volatile.Write(ref refused, null);
        else if (isStill) Try(read!);
        Publish();
    }

    private (OperatorFiles? Files, string? Problem) Read()
    {
        try
        {
            return (OperatorFiles.Read(folder), null);
        }
        catch (Exception e) when (e is FormatException or IOException or UnauthorizedAccessException)
        {
            return (null, e.Message);
        }
    }

    private void Try(OperatorFiles read)
    {
        // What is bad may become good with time: it is tried again and told once.
        var isNews = judged != read.Fingerprint;
        judged = read.Fingerprint;
        try
        {
            Take(read.Open(authority.TrustDomain, time), read.Fingerprint);
            Volatile.Write(ref refused, null);
        }
        catch (FormatException e)
        {
            Refuse(e.Message, isNews);
        }
    }

    private void Take(IssuingAuthority newest, string fingerprint)
    {
        var now = time.GetUtcNow();
        var before = authority.Current;
        // Whoever has a certificate under a root that is left out renews within that time.
        retained.AddRange(files.Bundle.Roots.Where(root => !newest.Bundle.Contains(root)).Select(root => (root, now + authority.Lifetimes.Leaf)));
        issueFrom = before.Bundle.Contains(newest.Issuer.RootId) ? null : now + Spread;
        (files, taken) = (newest, fingerprint);
        log.Info("the operator's authority changed", ("folder", folder), ("issuer", newest.Issuer), ("roots", newest.Bundle.Roots.Length), ("issues_from", issueFrom ?? now));
    }

    private void Refuse(string problem, bool isNews)
    {
        Volatile.Write(ref refused, problem);
        if (isNews) log.Error("the operator's authority is refused; the last good one serves on", ("folder", folder), ("error", problem));
    }

    private void Publish()
    {
        var now = time.GetUtcNow();
        retained.RemoveAll(old => old.Until <= now || files.Bundle.Contains(old.Root));
        var bundle = new TrustBundle(authority.TrustDomain, files.Bundle.Roots.Concat(retained.Select(old => old.Root)));
        if (issueFrom is { } from && now < from)
        {
            authority.Use(authority.Current with { Bundle = bundle });
            return;
        }

        issueFrom = null;
        authority.Use(new IssuingAuthority(bundle, files.Issuer));
    }
}
