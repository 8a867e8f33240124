using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Threading.Channels;
using Mesh.Api.Identity;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Authority;

namespace Mesh.ControlPlane.Identity.Access;

/// <summary>
/// The certificate this control plane shows: made at the start, made anew at half its life and whenever the authority changes, since it carries the
/// roots. Its key never leaves the process. Thread safe; its owner runs <see cref="RunAsync"/> once.
/// </summary>
internal sealed class OwnCertificate : IDisposable
{
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(5);
    private readonly CertificateAuthority authority;
    private readonly TimeProvider time;
    private readonly Random random;
    private readonly Log log;
    private readonly Channel<bool> wakes = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private volatile Svid current;

    /// <summary>Makes the first certificate. An <see cref="IssuingException"/> says why there can be none.</summary>
    public OwnCertificate(CertificateAuthority authority, TimeProvider time, Random random, Log log)
    {
        (this.authority, this.time, this.random, this.log) = (authority, time, random, log);
        current = Make();
        authority.Changed += Wake;
    }

    /// <summary>The newest one; new handshakes show it.</summary>
    public Svid Current => current;

    /// <summary>Renews until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        var due = current.RenewAt(random);
        while (true)
        {
            await WaitAsync(due - time.GetUtcNow(), stop);
            try
            {
                current = Make();
                due = current.RenewAt(random);
                log.Debug("the control plane has a new certificate", ("until", current.NotAfter));
            }
            catch (IssuingException e)
            {
                log.Error("the control plane cannot renew its own certificate", ("until", current.NotAfter), ("error", e.Message));
                due = time.GetUtcNow() + RetryAfter;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => authority.Changed -= Wake;

    private Svid Make()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var issued = authority.IssueOwn(ControlPlaneId.Of(authority.TrustDomain), new PublicKey(key));
        return Svid.Create(issued.Leaf, issued.Chain, key);
    }

    private async Task WaitAsync(TimeSpan most, CancellationToken stop)
    {
        if (most <= TimeSpan.Zero) return;
        using var woken = CancellationTokenSource.CreateLinkedTokenSource(stop);
        await Task.WhenAny(wakes.Reader.WaitToReadAsync(woken.Token).AsTask(), Task.Delay(most, time, woken.Token));
        await woken.CancelAsync();
        stop.ThrowIfCancellationRequested();
        wakes.Reader.TryRead(out _);
    }

    private void Wake() => wakes.Writer.TryWrite(true);
}
