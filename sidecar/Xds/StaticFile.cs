using Envoy.Config.Endpoint.V3;
using Envoy.Config.Route.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Identity;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;
using Cluster = Envoy.Config.Cluster.V3.Cluster;
using Listener = Envoy.Config.Listener.V3.Listener;

namespace Mesh.Sidecar.Xds;

/// <summary>
/// Reads xDS resources from a file of YAML or proto JSON: <c>static_resources: {listeners, clusters}</c> as in Envoy's bootstrap, and
/// <c>resources</c> with an "@type" each. All errors are found, each with file and line. Pure but for reading the file.
/// </summary>
internal sealed class StaticFile
{
    /// <summary>The version every resource of the file gets.</summary>
    private const string Version = "static";

    private readonly string name;
    private const int LargestFile = 64 << 20;
    private readonly ConfigErrors errors;
    private readonly YamlMessage messages;
    private readonly Dictionary<string, List<Any>> resources = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> lines = new(StringComparer.Ordinal);

    private StaticFile(string name, ConfigErrors errors)
    {
        this.name = name;
        this.errors = errors;
        messages = new YamlMessage(ProtoSchema.Embedded, Error);
    }

    /// <summary>The resources of a file; <paramref name="errors"/> says what is wrong with it, and then nothing of it may serve.</summary>
    public static ResourceSet Read(string path, ConfigErrors errors)
    {
        try
        {
            return Parse(path, RegularFiles.ReadText(path, LargestFile), errors);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            errors.Add($"{path}: cannot be read: {e.Message}");
            return ResourceSet.Empty;
        }
    }

    /// <summary>The resources in a text; <paramref name="name"/> stands in errors.</summary>
    public static ResourceSet Parse(string name, string text, ConfigErrors errors)
    {
        var file = new StaticFile(name, errors);
        try
        {
            var yaml = new YamlStream();
            yaml.Load(new StringReader(text));
            foreach (var document in yaml.Documents) file.Document(document.RootNode);
        }
        catch (YamlException e)
        {
            errors.Add($"{name}:{e.Start.Line}: {e.Message}");
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException or IndexOutOfRangeException)
        {
            // The library's way to say that it did not expect such a text; it does not say where.
            errors.Add($"{name}: is not YAML or JSON: {e.Message}");
        }

        if (errors.Count == 0 && file.resources.Count == 0) errors.Add($"{name}: has no listeners, no clusters, no resources: there is nothing to serve");
        return errors.Count > 0 ? ResourceSet.Empty : file.Build();
    }

    private void Document(YamlNode root)
    {
        if (root is YamlScalarNode { Value: "" or null }) return;
        foreach (var (key, value) in Fields(root, "the file"))
        {
            if (key is "static_resources" or "staticResources") StaticResources(value);
            else if (key == "resources") Each(value, key, Typed);
            else Error(value, $"\"{key}\" is not read by this sidecar: static_resources and resources are; addresses and names come as flags");
        }
    }

    private void StaticResources(YamlNode node)
    {
        foreach (var (key, value) in Fields(node, "static_resources"))
        {
            if (key == "listeners") Each(value, key, n => Add(n, TypeUrls.Listener, "Listener", Listener.Parser, l => l.Name));
            else if (key == "clusters") Each(value, key, n => Add(n, TypeUrls.Cluster, "Cluster", Cluster.Parser, c => c.Name));
            else Error(value, $"\"{key}\" is not read by this sidecar: listeners and clusters are");
        }
    }

    private void Typed(YamlNode node)
    {
        var any = Any.Parser.ParseFrom(messages.Write(node, "google.protobuf.Any"));
        switch (any.TypeUrl)
        {
            case TypeUrls.Listener: Keep(node, any, "Listener", Listener.Parser.ParseFrom(any.Value).Name); break;
            case TypeUrls.Cluster: Keep(node, any, "Cluster", Cluster.Parser.ParseFrom(any.Value).Name); break;
            case TypeUrls.RouteConfiguration: Keep(node, any, "RouteConfiguration", RouteConfiguration.Parser.ParseFrom(any.Value).Name); break;
            case TypeUrls.ClusterLoadAssignment: Keep(node, any, "ClusterLoadAssignment", ClusterLoadAssignment.Parser.ParseFrom(any.Value).ClusterName); break;
            case "": break; // Said already.
            default: Error(node, $"\"{any.TypeUrl}\" is not a resource this sidecar reads: Listener, RouteConfiguration, Cluster, ClusterLoadAssignment are"); break;
        }
    }

    private void Add<T>(YamlNode node, string typeUrl, string kind, MessageParser<T> parser, Func<T, string> nameOf)
        where T : IMessage<T>
    {
        var any = new Any { TypeUrl = typeUrl, Value = messages.Write(node, typeUrl[TypeUrls.Prefix.Length..]) };
        Keep(node, any, kind, nameOf(parser.ParseFrom(any.Value)));
    }

    private void Keep(YamlNode node, Any any, string kind, string resource)
    {
        if (!resources.TryGetValue(any.TypeUrl, out var list)) resources.Add(any.TypeUrl, list = []);
        lines.TryAdd(resource.Length > 0 ? $"{kind} {resource}" : $"{kind} #{list.Count}", node.Start.Line);
        list.Add(any);
    }

    private ResourceSet Build()
    {
        var set = ResourceSet.Empty;
        var found = new ConfigErrors { OfFile = errors.OfFile };
        foreach (var type in new[] { TypeUrls.Cluster, TypeUrls.ClusterLoadAssignment, TypeUrls.Listener, TypeUrls.RouteConfiguration })
            set = ResourceSetBuilder.With(set, type, Version, resources.GetValueOrDefault(type) ?? [], found);

        foreach (var text in found.Texts) errors.Add(Placed(text));
        if (errors.Count > 0) return ResourceSet.Empty;
        foreach (var missing in set.Missing()) errors.Add($"{name}: \"{missing}\" is asked for by a listener or cluster of the file, and is not in it");
        // There is no control plane behind a file that could know more than it.
        return errors.Count > 0 ? ResourceSet.Empty : set with { Ranges = set.Ranges.Add(TypeUrls.RangesName, new Accepted<MeshRanges>(TypeUrls.RangesName, Any.Pack(new Mesh.Api.V1.MeshRanges()), MeshRanges.None)) };
    }

    private string Placed(string text)
    {
        var end = text.IndexOf(": ", StringComparison.Ordinal);
        return end > 0 && lines.TryGetValue(text[..end], out var line) ? $"{name}:{line}: {text}" : $"{name}: {text}";
    }

    private IEnumerable<(string Key, YamlNode Value)> Fields(YamlNode node, string what)
    {
        if (node is YamlMappingNode mapping) return mapping.Children.Select(c => (c.Key.ToString(), c.Value));
        Error(node, $"{what} must be a mapping");
        return [];
    }

    private void Each(YamlNode node, string what, Action<YamlNode> read)
    {
        if (node is not YamlSequenceNode sequence) Error(node, $"{what} must be a list");
        else foreach (var item in sequence.Children) read(item);
    }

    private void Error(YamlNode at, string text) => errors.Add($"{name}:{at.Start.Line}: {text}");
}
