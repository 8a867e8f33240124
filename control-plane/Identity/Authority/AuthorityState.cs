using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using System.Text.Json.Serialization;
using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Identity.Authority;

/// <summary>
/// The mesh's own authority as it is kept in the store: one entry, replaced whole, so that there is never half an authority. Immutable. Holds
/// private keys.
/// </summary>
internal sealed record AuthorityState
{
    /// <summary>The entry's name.</summary>
    public const string EntryName = "ca/authority";

    private const int Newest = 1;

    /// <summary>How this is written; a number above ours was written by a newer control plane.</summary>
    public int Format { get; init; } = Newest;

    /// <summary>The trust domain it is the authority of.</summary>
    public required string TrustDomain { get; init; }

    /// <summary>The roots that are believed, the oldest first.</summary>
    public required ImmutableArray<StoredRoot> Roots { get; init; }

    /// <summary>SHA-256 of the root under which certificates are issued.</summary>
    public required string Issuing { get; init; }

    /// <summary>The change of roots that is under way; null when none is.</summary>
    public RotationState? Rotation { get; init; }

    /// <summary>A new authority.</summary>
    public static AuthorityState Create(string trustDomain, Lifetimes lifetimes, DateTimeOffset now)
    {
        var root = StoredRoot.Create(trustDomain, lifetimes, now);
        return new AuthorityState { TrustDomain = trustDomain, Roots = [root], Issuing = root.Id };
    }

    /// <summary>The root under which certificates are issued.</summary>
    [JsonIgnore]
    public StoredRoot IssuingRoot => Roots.Single(root => root.Id == Issuing);

    /// <summary>The authority it says; a <see cref="FormatException"/> says what is wrong with it.</summary>
    public IssuingAuthority Open()
    {
        try
        {
            var issuer = IssuingRoot.OpenIssuer();
            return new IssuingAuthority(new TrustBundle(TrustDomain, Roots.Select(root => root.Certificate())), issuer)
            {
                OwnIssuer = Roots[0].Issuer is null || Roots[0].Id == Issuing ? issuer : Roots[0].OpenIssuer(),
            };
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException or InvalidOperationException)
        {
            throw new FormatException(e.Message, e);
        }
    }

    /// <summary>The state as bytes. A secret.</summary>
    public byte[] Write() => JsonSerializer.SerializeToUtf8Bytes(this, AuthorityJson.Default.AuthorityState);

    /// <summary>Reads it; a <see cref="FormatException"/> says what is wrong with it.</summary>
    public static AuthorityState Read(ReadOnlySpan<byte> json)
    {
        try
        {
            var state = JsonSerializer.Deserialize(json, AuthorityJson.Default.AuthorityState) ?? throw new FormatException("it is empty");
            return state.Format <= Newest ? state : throw new FormatException($"it is of format {state.Format}, and this program knows {Newest}: a newer control plane wrote it");
        }
        catch (JsonException e)
        {
            throw new FormatException(e.Message, e);
        }
    }
}

/// <summary>A root with its key, and the issuer under it, if there is one yet. Immutable. Holds private keys.</summary>
/// <param name="Pem">The root's certificate.</param>
/// <param name="Key">Its key.</param>
/// <param name="Issuer">The issuing certificate under it.</param>
/// <param name="IssuerKey">Its key.</param>
internal sealed record StoredRoot(string Pem, string Key, string? Issuer, string? IssuerKey)
{
    /// <summary>SHA-256 of the certificate.</summary>
    [JsonIgnore]
    public string Id { get; } = TrustBundle.Sha256(CertificatePem.Read(Pem)[0]);

    /// <summary>A new root with an issuer under it.</summary>
    public static StoredRoot Create(string trustDomain, Lifetimes lifetimes, DateTimeOffset now)
    {
        var root = CertificateForms.NewRoot(trustDomain, now, lifetimes.Root);
        return new StoredRoot(CertificatePem.Write([root.Certificate]), root.KeyPem(), null, null).WithNewIssuer(trustDomain, lifetimes, now);
    }

    /// <summary>The same with a new issuer.</summary>
    public StoredRoot WithNewIssuer(string trustDomain, Lifetimes lifetimes, DateTimeOffset now)
    {
        var issuer = CertificateForms.NewIssuer(Signer.OfRoot(X509Certificate2.CreateFromPem(Pem, Key)), trustDomain, now, lifetimes.Issuer);
        return this with { Issuer = CertificatePem.Write([issuer.Certificate]), IssuerKey = issuer.KeyPem() };
    }

    /// <summary>The root's certificate.</summary>
    public X509Certificate2 Certificate() => CertificatePem.Read(Pem)[0];

    /// <summary>The issuer under it.</summary>
    public Signer OpenIssuer() => Signer.Of(
        X509Certificate2.CreateFromPem(Issuer ?? throw new FormatException("the issuing certificate is missing"), IssuerKey ?? ""), [], Certificate());
}

/// <summary>Source-generated (de)serialisation. A member nobody knows is an error: what protects the mesh is not guessed at.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = true, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, UseStringEnumConverter = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(AuthorityState))]
internal sealed partial class AuthorityJson : JsonSerializerContext;
