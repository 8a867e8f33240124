namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>Where Consul (or the built-in registry, which speaks the same HTTP API) is and how to talk to it. Immutable.</summary>
internal sealed record ConsulOptions
{
    /// <summary>Base address, <c>http://127.0.0.1:8500</c> or https.</summary>
    public required Uri Address { get; init; }

    /// <summary>File that holds the ACL token; read again when it changes. Wins over <see cref="Token"/>.</summary>
    public string? TokenFile { get; init; }

    /// <summary>The ACL token itself (from CONSUL_HTTP_TOKEN). Never logged.</summary>
    public string? Token { get; init; }

    /// <summary>Datacenter to ask, or null for the agent's own.</summary>
    public string? Datacenter { get; init; }

    /// <summary>PEM file with the only authorities trusted for TLS to Consul, or null for the system's.</summary>
    public string? CaFile { get; init; }

    /// <summary>Bound of a call that does not block.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a blocking query asks Consul to wait. Short enough that a dead connection shows within a minute or so.</summary>
    public TimeSpan Wait { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Largest answer that is read, in bytes.</summary>
    public long MaxAnswerBytes { get; init; } = 64L << 20;

    /// <summary>Most connections at once; above it calls wait for one another.</summary>
    public int MaxConnections { get; init; } = 180;

    /// <summary>Checks the address as a person typed it.</summary>
    /// <exception cref="FormatException">It is no absolute http or https URL.</exception>
    public static Uri ParseAddress(string text)
    {
        if (!Uri.TryCreate(text, UriKind.Absolute, out var uri) || (uri.Scheme is not ("http" or "https")))
            throw new FormatException($"'{text}' is not the address of a Consul agent; write it as http://127.0.0.1:8500 or https://consul.example:8501");
        if (uri.UserInfo.Length > 0 || uri.Query.Length > 0)
            throw new FormatException("the address of Consul holds neither a user nor a query; give the ACL token by --consul-token-file or CONSUL_HTTP_TOKEN");
        return uri;
    }
}
