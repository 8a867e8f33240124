using System.Buffers;
using System.Diagnostics;
using System.Security.Cryptography;

namespace Mesh.Sidecar.Telemetry;

/// <summary>The W3C trace header that goes upstream. Stateless, any thread.</summary>
internal static class TraceContext
{
    private static readonly SearchValues<char> LowerHex = SearchValues.Create("0123456789abcdef");

    /// <summary>
    /// With a span: the span. Without one: what came in, unchanged, when it is valid; else a new trace that nobody sampled,
    /// so that logs of both ends can be joined even with tracing off.
    /// </summary>
    public static string Next(string? incoming, Activity? span) =>
        span?.Id is { } id ? id : IsValid(incoming) ? incoming! : Make();

    /// <summary>True for a version-00 header (or a later version that begins like one) with non-zero ids.</summary>
    public static bool IsValid(string? value)
    {
        if (value is null || value.Length < 55 || value.Length > 512) return false;
        if (value[2] != '-' || value[35] != '-' || value[52] != '-') return false;
        var version = value.AsSpan(0, 2);
        if (!IsLowerHex(version) || version is "ff") return false;
        if (version is "00" ? value.Length != 55 : value.Length > 55 && value[55] != '-') return false;
        var trace = value.AsSpan(3, 32);
        var parent = value.AsSpan(36, 16);
        return IsLowerHex(trace) && IsLowerHex(parent) && IsLowerHex(value.AsSpan(53, 2))
            && trace.ContainsAnyExcept('0') && parent.ContainsAnyExcept('0');
    }

    private static string Make() => string.Create(55, 0, static (text, _) =>
    {
        Span<byte> ids = stackalloc byte[24];
        RandomNumberGenerator.Fill(ids);
        ids[0] |= 1; // neither id may be all zero
        ids[16] |= 1;
        "00-".CopyTo(text);
        Convert.TryToHexStringLower(ids[..16], text[3..], out _);
        text[35] = '-';
        Convert.TryToHexStringLower(ids[16..], text[36..], out _);
        "-00".CopyTo(text[52..]);
    });

    private static bool IsLowerHex(ReadOnlySpan<char> text) => !text.ContainsAnyExcept(LowerHex);
}
