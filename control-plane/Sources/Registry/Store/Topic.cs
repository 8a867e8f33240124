namespace Mesh.ControlPlane.Sources.Registry.Store;

/// <summary>What a blocking query waits for.</summary>
internal enum TopicKind
{
    Nodes,
    Services,
    Checks,
    Sessions,
    Node,
    Service,
    Key,
    KeyPrefix,
}

/// <summary>One thing that changes. A change of a key also reaches those who wait for a prefix of it.</summary>
internal readonly record struct Topic(TopicKind Kind, string Name)
{
    public static readonly Topic Nodes = new(TopicKind.Nodes, "");
    public static readonly Topic Services = new(TopicKind.Services, "");
    public static readonly Topic Checks = new(TopicKind.Checks, "");
    public static readonly Topic Sessions = new(TopicKind.Sessions, "");

    public static Topic Node(string name) => new(TopicKind.Node, name.ToLowerInvariant());

    public static Topic Service(string name) => new(TopicKind.Service, name.ToLowerInvariant());

    public static Topic Key(string key) => new(TopicKind.Key, key);

    public static Topic KeyPrefix(string prefix) => new(TopicKind.KeyPrefix, prefix);
}
