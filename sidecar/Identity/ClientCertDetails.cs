namespace Mesh.Sidecar.Identity;

/// <summary>What goes into x-forwarded-client-cert.</summary>
[Flags]
public enum ClientCertDetails
{
    /// <summary>The field is not set.</summary>
    None = 0,

    /// <summary>Our own ID and the hash of the caller's certificate; always, when the field is set.</summary>
    Set = 1,

    /// <summary>The caller's SPIFFE ID.</summary>
    Uri = 2,

    /// <summary>The subject of its certificate.</summary>
    Subject = 4,
}
