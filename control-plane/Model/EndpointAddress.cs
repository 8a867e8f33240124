using System.Net;

namespace Mesh.ControlPlane.Model;

/// <summary>
/// What data planes take as the address of an endpoint. One that is anything else makes them refuse all clusters, so a source leaves out who has it.
/// Pure.
/// </summary>
internal static class EndpointAddress
{
    private const int Longest = 253;

    /// <summary>True for an IP address, or a host name of letters, digits, dots, hyphens and underscores.</summary>
    public static bool IsValid(string text) =>
        text.Length is > 0 and <= Longest
        && (IPAddress.TryParse(text, out _) ? !text.Contains('[', StringComparison.Ordinal) : text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_'));
}
