using System.Diagnostics.Metrics;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Identity.Records;

namespace Mesh.ControlPlane.Identity.Issuing;

/// <summary>Counters of certificates and gauges of their authority. Thread safe; lives as long as the program.</summary>
internal sealed class IssuingMetrics : IDisposable
{
    private readonly Meter meter = new("Mesh.ControlPlane");
    private readonly Counter<long> issued;
    private readonly Counter<long> refused;
    private readonly Counter<long> handshakes;

    public IssuingMetrics(CertificateAuthority authority, Revocations revocations)
    {
        issued = meter.CreateCounter<long>("mesh_certificates_issued_total", description: "Certificates issued, by how the caller proved who it is.");
        refused = meter.CreateCounter<long>("mesh_certificates_refused_total", description: "Requests for certificates that were refused, by reason.");
        handshakes = meter.CreateCounter<long>("mesh_api_handshakes_refused_total", description: "TLS handshakes on the mesh API refused for the client's certificate, by reason.");
        meter.CreateObservableGauge("mesh_ca_root_not_after_seconds", () => Seconds(authority.Current.Issuer.Root.NotAfter), description: "When the root ends under which certificates are issued, since the epoch.");
        meter.CreateObservableGauge("mesh_ca_issuer_not_after_seconds", () => (double)authority.Current.Issuer.NotAfter.ToUnixTimeSeconds(), description: "When the issuing certificate ends, since the epoch.");
        meter.CreateObservableGauge("mesh_ca_roots", () => authority.Current.Bundle.Roots.Length, description: "Roots that are believed.");
        meter.CreateObservableGauge("mesh_identities_revoked", () => revocations.All.Count(), description: "Revoked identities.");
    }

    /// <summary>A certificate was issued.</summary>
    public void Issued(string by) => issued.Add(1, new KeyValuePair<string, object?>("by", by));

    /// <summary>A certificate was refused.</summary>
    public void Refused(string reason) => refused.Add(1, new KeyValuePair<string, object?>("reason", reason));

    /// <summary>A handshake was refused.</summary>
    public void HandshakeRefused(string reason) => handshakes.Add(1, new KeyValuePair<string, object?>("reason", reason));

    /// <inheritdoc/>
    public void Dispose() => meter.Dispose();

    private static double Seconds(DateTime notAfter) => new DateTimeOffset(notAfter.ToUniversalTime(), TimeSpan.Zero).ToUnixTimeSeconds();
}
