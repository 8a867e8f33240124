namespace Mesh.Api.Rbac;

/// <summary>
/// What rules may look at: one request, or one TCP connection, whose HTTP members are then left out. Lives on the stack of one decision.
/// </summary>
public readonly ref struct RbacRequest
{
    /// <summary>Method, as sent.</summary>
    public string Method { get; init; }

    /// <summary>Canonical path; without a problem, or the request is refused before it comes here.</summary>
    public CanonicalPath Path { get; init; }

    /// <summary>Host and port as sent, from the target or the Host field. Its case and the dot behind an absolute name do not count.</summary>
    public string Authority
    {
        get;
        init
        {
            field = value;
            var port = value.LastIndexOf(':');
            var name = port < 0 || value[^1] == ']' ? value : value.AsSpan(0, port);
            if (name.IsEmpty || name[^1] != '.') Host = value;
            else Host = name.Length == value.Length ? name[..^1] : string.Concat(name[..^1], value.AsSpan(port));
        }
    }

    /// <summary>The same without the dot behind an absolute name.</summary>
    internal ReadOnlySpan<char> Host { get; private init; }

    /// <summary>Header fields as the application will get them; null when there are none.</summary>
    public IRbacFields? Fields { get; init; }

    /// <summary>SPIFFE ID the caller proved; null when it proved none.</summary>
    public string? Principal { get; init; }

    /// <summary>Address of the direct peer.</summary>
    public IpValue Source { get; init; }

    /// <summary>Address the peer connected to.</summary>
    public IpValue Destination { get; init; }

    /// <summary>Port the peer connected to.</summary>
    public int DestinationPort { get; init; }
}

/// <summary>Header fields of a request, for rules. Valid while the request is decided upon.</summary>
public interface IRbacFields
{
    /// <summary>The first value of a name, whatever its case, or null; <paramref name="several"/> says that there are more.</summary>
    string? Find(string name, out bool several);

    /// <summary>All values of a name, in order. Asked for only where there are several.</summary>
    IReadOnlyList<string> All(string name);
}
