using System.Net;
using Mesh.Api.Rbac;

namespace Mesh.ControlPlane.Admin.Authz;

/// <summary>A request nobody sends, or with <see cref="IsHttp"/> false a connection. Immutable.</summary>
/// <param name="Principal">The identity the caller proves; null for none.</param>
/// <param name="Source">Where it comes from.</param>
/// <param name="Method">Method.</param>
/// <param name="Path">Path with its query.</param>
/// <param name="Authority">Host and port.</param>
/// <param name="Headers">Header fields.</param>
internal sealed record Trial(string? Principal, IPAddress Source, string Method, string Path, string Authority, IReadOnlyDictionary<string, string> Headers) : IRbacFields
{
    /// <summary>True for a request.</summary>
    public bool IsHttp => Method.Length > 0;

    /// <inheritdoc/>
    public string? Find(string name, out bool several)
    {
        several = false;
        foreach (var (key, value) in Headers)
        {
            if (key.Equals(name, StringComparison.OrdinalIgnoreCase)) return value;
        }

        return null;
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> All(string name) => Find(name, out _) is { } value ? [value] : [];
}
