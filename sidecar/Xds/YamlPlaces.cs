using YamlDotNet.RepresentationModel;

namespace Mesh.Sidecar.Xds;

/// <summary>Finds where in a document an error of the JSON parser belongs, which names a field or value and no position. Pure.</summary>
internal static class YamlPlaces
{
    /// <summary>The first place whose key or value the message names; else the whole node.</summary>
    public static YamlNode OfError(YamlNode node, string message) =>
        message.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(w => w.Trim('\'', '"', '.', ':', ','))
            .Where(w => w.Length > 1).Select(w => Find(node, w, 0)).FirstOrDefault(f => f is not null) ?? node;

    private static YamlNode? Find(YamlNode node, string word, int depth)
    {
        if (depth > 100) return null;
        switch (node)
        {
            case YamlScalarNode scalar:
                return scalar.Value == word ? scalar : null;
            case YamlSequenceNode sequence:
                return sequence.Children.Select(c => Find(c, word, depth + 1)).FirstOrDefault(f => f is not null);
            case YamlMappingNode mapping:
                return mapping.Children.Select(c => Find(c.Key, word, depth + 1) ?? Find(c.Value, word, depth + 1)).FirstOrDefault(f => f is not null);
            default:
                return null;
        }
    }
}
