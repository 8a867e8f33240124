using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.Benchmarks;

/// <summary>
/// The certificates all pairs share, as files: a root, an issuing intermediate, and a leaf for either end with one SPIFFE ID as its URI SAN,
/// all ECDSA P-256 as the mesh's own authority issues them. The common name is there for nginx alone, which checks no URI.
/// </summary>
internal sealed class PairCertificates
{
    public const string ServerName = "server.mesh";
    public const string ClientId = "spiffe://cluster.local/ns/default/sa/client";
    public const string ServerId = "spiffe://cluster.local/ns/default/sa/server";
    private readonly string folder;

    public PairCertificates(string folder)
    {
        this.folder = Directory.CreateDirectory(folder).FullName;
        var now = DateTimeOffset.UtcNow;
        using var rootKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var root = Authority("mesh root", rootKey, pathLength: 1).CreateSelfSigned(now.AddHours(-1), now.AddDays(30));
        using var issuerKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var unkeyed = Authority("mesh issuing", issuerKey, pathLength: 0).Create(root, now.AddMinutes(-50), now.AddDays(20), Serial());
        using var issuer = unkeyed.CopyWithPrivateKey(issuerKey);
        File.WriteAllText(Roots, root.ExportCertificatePem() + "\n");
        Leaf(issuer, "client", "client.mesh", ClientId, now);
        Leaf(issuer, "server", ServerName, ServerId, now);
    }

    public string Roots => Path.Combine(folder, "root.crt");

    /// <summary>Leaf and intermediate of an end ("client" or "server").</summary>
    public string Chain(string end) => Path.Combine(folder, end + ".crt");

    public string Key(string end) => Path.Combine(folder, end + ".key");

    /// <summary>Chain and key in one file, as HAProxy wants them.</summary>
    public string Both(string end) => Path.Combine(folder, end + ".pem");

    private void Leaf(X509Certificate2 issuer, string end, string commonName, string id, DateTimeOffset now)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=" + commonName, key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddUri(new Uri(id));
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1"), new Oid("1.3.6.1.5.5.7.3.2")], false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(issuer, true, false));
        using var leaf = request.Create(issuer, now.AddMinutes(-5), now.AddDays(1), Serial());
        var chain = leaf.ExportCertificatePem() + "\n" + issuer.ExportCertificatePem() + "\n";
        File.WriteAllText(Chain(end), chain);
        File.WriteAllText(Key(end), key.ExportPkcs8PrivateKeyPem() + "\n");
        File.WriteAllText(Both(end), chain + key.ExportPkcs8PrivateKeyPem() + "\n");
        foreach (var secret in new[] { Key(end), Both(end) }) File.SetUnixFileMode(secret, UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    private static CertificateRequest Authority(string name, ECDsa key, int pathLength)
    {
        var request = new CertificateRequest("CN=" + name, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, pathLength, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        return request;
    }

    private static byte[] Serial()
    {
        var serial = RandomNumberGenerator.GetBytes(16);
        serial[0] &= 0x7f;
        return serial;
    }
}
