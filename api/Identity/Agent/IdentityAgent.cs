using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Threading.Channels;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;

namespace Mesh.Api.Identity.Agent;

/// <summary>
/// Gets this workload's certificate from the control plane and keeps it fresh. The key is made here and never leaves. Safe from any
/// thread; <see cref="RunAsync"/> is run once by its owner and ends by its cancellation.
/// </summary>
public sealed class IdentityAgent
{
    private readonly Log log;
    private readonly TimeProvider time;
    private readonly SvidVerifier verifier;
    private readonly Enrollments enrollments;
    private readonly CertificateClient client;
    private readonly RenewalSchedule schedule;
    private readonly KeptIdentity? kept;
    private readonly Lock gate = new();
    private readonly TaskCompletionSource<Credentials> certified = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Channel<bool> wakes = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private long failures;
    private bool keptTaken;
    private volatile bool renewSoon;
    private volatile bool renewSpread;
    private volatile bool keepSoon;
    private volatile string? askedUnder;
    private volatile Credentials? current;
    private TrustBundle? pushed;
    private ECDsa? pendingKey;

    /// <summary>Makes an agent; throws <see cref="FormatException"/> or <see cref="IOException"/> where an option cannot be used, with what to do.</summary>
    public IdentityAgent(IdentityAgentOptions options, Log log, TimeProvider time, Random random)
    {
        (this.log, this.time) = (log, time);
        verifier = new SvidVerifier(time);
        enrollments = new Enrollments(options, verifier);
        client = new CertificateClient(Enrollments.AddressOf(options.ControlPlane), verifier, time);
        schedule = new RenewalSchedule(time, random);
        kept = options.IdentityDir is { } folder ? new KeptIdentity(folder) : null;
    }

    /// <summary>Raised after <see cref="Current"/> has changed, on the thread that changed it; handlers must be quick and not throw.</summary>
    public event Action? Changed;

    /// <summary>The newest certificate and roots; null until certified. It may have ended while no control plane answered.</summary>
    public Credentials? Current => current;

    /// <summary>How often it asked, by every way it has, and got no certificate.</summary>
    public long Failures => Interlocked.Read(ref failures);

    /// <summary>Waits for the first certificate.</summary>
    public Task<Credentials> CertifiedAsync(CancellationToken cancellation) => certified.Task.WaitAsync(cancellation);

    /// <summary>
    /// Takes the certificate of the identity folder now, for whoever needs it before <see cref="RunAsync"/>, which does the same. One that has ended or
    /// that the kept roots do not vouch for is not taken. Not while the other runs.
    /// </summary>
    public void UseKept()
    {
        if (keptTaken) return;
        keptTaken = true;
        TakeKept();
    }

    /// <summary>Obtains and renews until cancelled. What goes wrong is logged and tried again.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        UseKept();
        try
        {
            while (true)
            {
                if (schedule.Pause > TimeSpan.Zero) await SleepAsync(cancellation);
                else await RenewAsync(cancellation);
            }
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            pendingKey?.Dispose();
        }
    }

    /// <summary>
    /// Takes roots that came another way (ADS); they are believed as what carried them was. Roots that no longer vouch for the own
    /// certificate make the agent ask for another at once.
    /// </summary>
    public void UpdateBundle(TrustBundle bundle)
    {
        lock (gate)
        {
            if (current is not { } now || now.Bundle.Fingerprint == bundle.Fingerprint) return;
            if (!string.Equals(now.Bundle.TrustDomain, bundle.TrustDomain, StringComparison.Ordinal))
            {
                log.Error("roots of another trust domain are not taken", ("trust-domain", bundle.TrustDomain), ("own", now.Bundle.TrustDomain));
                return;
            }

            current = now with { Bundle = pushed = bundle };
            log.Info("the mesh's roots have changed", ("roots", bundle.Roots.Length), ("bundle", bundle.Fingerprint[..12]));
            renewSoon |= !Vouches(bundle, now.Svid);
            keepSoon = true;
            wakes.Writer.TryWrite(true);
        }

        Changed?.Invoke();
    }

    /// <summary>Asks for a new certificate without waiting for half the life of this one.</summary>
    public void RenewSoon()
    {
        renewSoon = true;
        wakes.Writer.TryWrite(true);
    }

    /// <summary>
    /// Asks soon for a new certificate if the one held is not under this root (SHA-256 in hex): the mesh issues under another one now, and waits
    /// for those who have not renewed.
    /// </summary>
    public void RenewUnder(string root)
    {
        if (current is not { } now || string.Equals(askedUnder, root, StringComparison.Ordinal)) return;
        // A root that is not believed yet is no news: roots come with a word of their own, and this one is said again.
        if (now.Bundle.Roots.FirstOrDefault(r => string.Equals(TrustBundle.Sha256(r), root, StringComparison.Ordinal)) is not { } under) return;
        askedUnder = root;
        if (Vouches(new TrustBundle(now.Bundle.TrustDomain, [under]), now.Svid)) return;
        log.Info("certificates are issued under another root now; a new one is asked for soon", ("root", root[..12]));
        renewSpread = true;
        wakes.Writer.TryWrite(true);
    }

    /// <summary>
    /// TLS towards the control plane with the certificate and roots of this moment, its SPIFFE ID checked: for
    /// <c>GrpcChannelOptions.Tls</c> of ADS, registration and telemetry.
    /// </summary>
    public SslClientAuthenticationOptions ControlPlaneTls() => current is { } now
        ? ControlPlaneTrust.ByRoots(verifier, now.Bundle).Tls(now.Svid)
        : throw new AuthenticationException("this workload has no certificate yet");

    private async Task SleepAsync(CancellationToken cancellation)
    {
        using var woken = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        await Task.WhenAny(Task.Delay(schedule.Pause, time, woken.Token), wakes.Reader.ReadAsync(woken.Token).AsTask());
        await woken.CancelAsync();
        cancellation.ThrowIfCancellationRequested();
        if (keepSoon)
        {
            keepSoon = false;
            Keep(current!);
        }

        if (renewSpread)
        {
            renewSpread = false;
            schedule.Soon();
        }

        if (!renewSoon) return;
        renewSoon = false;
        schedule.Now();
    }

    private async Task RenewAsync(CancellationToken cancellation)
    {
        // The same key until an answer comes: a control plane whose answer was lost may give it again.
        var key = pendingKey ??= ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var reasons = new List<string>();
        foreach (var enrollment in enrollments.Ways(current, time.GetUtcNow(), reasons))
        {
            try
            {
                var fresh = await client.RequestAsync(enrollment, key, cancellation);
                enrollments.Used(enrollment);
                key.Dispose();
                pendingKey = null;
                schedule.Obtained(fresh.Svid);
                Keep(Publish(fresh, enrollment.By));
                return;
            }
            catch (Exception e) when (e is GrpcException or EnrollmentException)
            {
                reasons.Add($"with {enrollment}: {e.Message}");
            }
        }

        Interlocked.Increment(ref failures);
        Complain(schedule.Failed(), reasons);
    }

    private Credentials Publish(Credentials fresh, string by)
    {
        lock (gate)
        {
            // Roots that are pushed are newer than those of a replica that has not heard of them yet.
            if (pushed is not null && Vouches(pushed, fresh.Svid)) fresh = fresh with { Bundle = pushed };
            current = fresh;
        }

        log.Info("certified", ("identity", fresh.Svid.Id), ("until", fresh.Svid.NotAfter.ToString("u")), ("serial", fresh.Svid.Certificate.SerialNumber), ("by", by));
        certified.TrySetResult(fresh);
        Changed?.Invoke();
        return fresh;
    }

    private bool Vouches(TrustBundle bundle, Svid svid) => verifier.Verify(svid.Certificate, svid.Chain, bundle).Ok;

    private void Complain(TimeSpan pause, List<string> reasons)
    {
        var why = string.Join("; ", reasons);
        var again = ("again-in", (object?)$"{pause.TotalSeconds:0.0} s");
        if (current is not { } now) log.Error("no certificate yet", ("reason", why), again);
        else if (now.Svid.NotAfter <= time.GetUtcNow()) log.Error("the certificate has ended and cannot be renewed: peers refuse it", ("ended", now.Svid.NotAfter.ToString("u")), ("reason", why), again);
        else log.Warn("the certificate could not be renewed yet", ("until", now.Svid.NotAfter.ToString("u")), ("reason", why), again);
    }

    private void TakeKept()
    {
        if (kept is null) return;
        try
        {
            if (kept.Read() is not { } found) return;
            if (enrollments.WhyNotKept(found) is { } reason) throw new FormatException(reason);
            var verdict = verifier.Verify(found.Svid.Certificate, found.Svid.Chain, found.Bundle);
            if (!verdict.Ok) throw new FormatException($"{verdict.Problem}: {verdict.Text}");
            schedule.Obtained(found.Svid);
            Publish(found, "the identity folder");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
        {
            log.Warn("the kept certificate is not used", ("reason", e.Message));
        }
    }

    private void Keep(Credentials credentials)
    {
        try
        {
            kept?.Write(credentials);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            log.Error("the certificate cannot be kept: it is used, and a restart will need a new token", ("reason", e.Message));
        }
    }
}
