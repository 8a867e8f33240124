namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>The limits of the metadata of a service that registers with the agent. Stateless.</summary>
internal static class ServiceMeta
{
    private const int MaxPairs = 64;
    private const int MaxKey = 128;
    private const int MaxValue = 512;

    public static void Require(Dictionary<string, string>? meta)
    {
        if (meta is null) return;
        if (meta.Count > MaxPairs) throw new Refusal(400, $"Invalid Service Meta: Node metadata cannot contain more than {MaxPairs} key/value pairs");
        foreach (var (key, value) in meta)
        {
            if (WrongWith(key, value ?? "") is { } wrong) throw new Refusal(400, $"Invalid Service Meta: Couldn't load metadata pair ('{key}', '{value}'): {wrong}");
        }
    }

    private static string? WrongWith(string key, string value)
    {
        if (key.Length == 0) return "Key cannot be blank";
        if (!key.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_')) return "Key contains invalid characters";
        if (key.Length > MaxKey) return $"Key is too long (limit: {MaxKey} characters)";
        return value.Length > MaxValue ? $"Value is too long (limit: {MaxValue} characters)" : null;
    }
}
