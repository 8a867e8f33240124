using Microsoft.AspNetCore.Http;

namespace Mesh.Sidecar.Config;

/// <summary>
/// What routing may look at: a view of one request as its client sent it. A value, made on the stack for one match; nothing is copied.
/// </summary>
public readonly struct RouteInput
{
    /// <summary>Host header or <c>:authority</c>, as sent.</summary>
    public required string Authority { get; init; }

    /// <summary>Origin-form target as sent, query included: <c>/a%2Fb?x=1</c>. Never decoded.</summary>
    public required string Target { get; init; }

    /// <summary>Method, as sent.</summary>
    public required string Method { get; init; }

    /// <summary><c>http</c> or <c>https</c>.</summary>
    public string Scheme { get; init; }

    /// <summary>True when the content type is gRPC's.</summary>
    public bool Grpc { get; init; }

    /// <summary>Header fields.</summary>
    public required IHeaderDictionary Headers { get; init; }

    /// <summary>The target up to its query or fragment.</summary>
    public ReadOnlySpan<char> Path
    {
        get
        {
            var end = Target.AsSpan().IndexOfAny('?', '#');
            return end < 0 ? Target : Target.AsSpan(0, end);
        }
    }

    /// <summary>The query without its question mark; empty when there is none.</summary>
    public ReadOnlySpan<char> Query
    {
        get
        {
            var target = Target.AsSpan();
            var fragment = target.IndexOf('#');
            if (fragment >= 0) target = target[..fragment];
            var start = target.IndexOf('?');
            return start < 0 ? [] : target[(start + 1)..];
        }
    }

    /// <summary>A header's value, several joined with "," as Envoy does; null when absent. Pseudo-headers have their xDS names.</summary>
    public string? Header(string name)
    {
        if (name.Length > 0 && name[0] == ':') return PseudoHeader(name);
        if (name.Equals("host", StringComparison.OrdinalIgnoreCase)) return Authority;
        if (!Headers.TryGetValue(name, out var values) || values.Count == 0) return null;
        return values.Count == 1 ? values[0] ?? "" : string.Join(',', values.ToArray());
    }

    private string? PseudoHeader(string name) => name switch
    {
        ":method" => Method,
        ":path" => Target,
        ":authority" => Authority,
        ":scheme" => Scheme ?? "http",
        _ => null,
    };
}
