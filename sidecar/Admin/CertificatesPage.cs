using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Mesh.Api.Identity;
using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Admin;

/// <summary>
/// GET /certs: the certificates in use and when they end, in Envoy's shape, public parts only. POST /certs/renew: a new one now. Stateless.
/// </summary>
internal static class CertificatesPage
{
    /// <summary>Answers a request.</summary>
    public static Task AnswerAsync(HttpContext context, AdminSources sources)
    {
        var now = sources.Time.GetUtcNow();
        return context.JsonAsync(json =>
        {
            json.WriteStartObject();
            json.WriteStartArray("certificates");
            foreach (var credentials in sources.Certificates()) Write(json, credentials, now);
            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    /// <summary>Renews, and answers when it is done or cannot be.</summary>
    public static async Task RenewAsync(HttpContext context, AdminSources sources)
    {
        if (sources.RenewCertificate is not { } renew)
        {
            await context.TextAsync(StatusCodes.Status409Conflict, "this sidecar has no certificate of a control plane: it was started with --static or with a control plane in plaintext\n");
            return;
        }

        var (serial, problem) = await renew(context.RequestAborted);
        if (serial is null) await context.TextAsync(StatusCodes.Status503ServiceUnavailable, problem + "\n");
        else await context.TextAsync(StatusCodes.Status200OK, $"renewed: serial {serial}\n");
    }

    private static void Write(Utf8JsonWriter json, Credentials credentials, DateTimeOffset now)
    {
        json.WriteStartObject();
        json.WriteStartArray("ca_cert");
        foreach (var root in credentials.Bundle.Roots) Write(json, root, now);
        json.WriteEndArray();
        json.WriteStartArray("cert_chain");
        Write(json, credentials.Svid.Certificate, now);
        foreach (var issuer in credentials.Svid.Chain) Write(json, issuer, now);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, X509Certificate2 certificate, DateTimeOffset now)
    {
        var (from, to) = (certificate.NotBefore.ToUniversalTime(), certificate.NotAfter.ToUniversalTime());
        json.WriteStartObject();
        json.WriteString("path", "<inline>");
        json.WriteString("serial_number", certificate.SerialNumber.ToLowerInvariant());
        json.WriteStartArray("subject_alt_names");
        if (UriSans.TryRead(certificate, out var uris, out _))
        {
            foreach (var uri in uris)
            {
                json.WriteStartObject();
                json.WriteString("uri", uri);
                json.WriteEndObject();
            }
        }

        json.WriteEndArray();
        json.WriteString("days_until_expiration", Math.Max(0, (int)(to - now.UtcDateTime).TotalDays).ToString(CultureInfo.InvariantCulture));
        json.WriteString("valid_from", from.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture));
        json.WriteString("expiration_time", to.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture));
        json.WriteEndObject();
    }
}
