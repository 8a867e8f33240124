namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>
/// One path of the API. A path that ends in "/" takes a name after it. Immutable.
/// </summary>
internal sealed record Endpoint(string Path, string Methods, Func<RegistryRequest, Task> Answer)
{
    public bool TakesName => Path.EndsWith('/');

    public bool Allows(string method) => Methods.Split(',').Contains(method, StringComparer.Ordinal);
}

/// <summary>Finds the endpoint of a path: the exact one, else the longest that takes a name. Immutable, thread safe.</summary>
internal sealed class EndpointTable
{
    private readonly Dictionary<string, Endpoint> exact = new(StringComparer.Ordinal);
    private readonly List<Endpoint> named = [];

    public EndpointTable(IEnumerable<Endpoint> endpoints)
    {
        foreach (var endpoint in endpoints)
        {
            if (endpoint.TakesName) named.Add(endpoint);
            else exact.Add(endpoint.Path, endpoint);
        }

        named.Sort((a, b) => b.Path.Length - a.Path.Length);
    }

    public Endpoint? Find(string path, out string name)
    {
        name = "";
        if (exact.TryGetValue(path, out var found)) return found;
        found = named.Find(e => path.StartsWith(e.Path, StringComparison.Ordinal));
        if (found is not null) name = path[found.Path.Length..];
        return found;
    }
}
