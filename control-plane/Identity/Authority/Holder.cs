using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.ControlPlane.Identity.Authority;

/// <summary>
/// Who holds a certificate, through all renewals: the first half of its serial number, drawn when somebody joins and kept when he renews. So it is
/// known without a register which certificate another one succeeds. Immutable.
/// </summary>
/// <param name="Id">Sixteen hex digits.</param>
internal sealed record Holder(string Id)
{
    private const int Bytes = 8;

    /// <summary>Somebody who was not seen before.</summary>
    public static Holder New() => new(Convert.ToHexStringLower(CertificateForms.NewSerial().AsSpan(0, Bytes)));

    /// <summary>The holder of a certificate; false when it was not issued here.</summary>
    public static bool TryRead(X509Certificate2 certificate, [NotNullWhen(true)] out Holder? holder)
    {
        var serial = certificate.SerialNumberBytes.Span;
        holder = serial.Length == 2 * Bytes ? new Holder(Convert.ToHexStringLower(serial[..Bytes])) : null;
        return holder is not null;
    }

    /// <summary>A serial number for this holder's next certificate.</summary>
    public byte[] NextSerial()
    {
        var serial = CertificateForms.NewSerial();
        Convert.FromHexString(Id).CopyTo(serial, 0);
        return serial;
    }
}
