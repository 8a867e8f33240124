using System.Net;
using Envoy.Config.Rbac.V3;
using Google.Protobuf;
using Mesh.Api.Rbac;

namespace Mesh.Api.Tests.Rbac;

/// <summary>A request as tests write it, and what an engine says of it.</summary>
internal sealed record Decision : IRbacFields
{
    public string Method { get; init; } = "GET";

    public string Target { get; init; } = "/";

    public string Authority { get; init; } = "web";

    public (string Name, string Value)[] Headers { get; init; } = [];

    public string? Principal { get; init; }

    public string? Source { get; init; } = "10.0.0.1";

    public string? Destination { get; init; } = "10.0.0.2";

    public int Port { get; init; } = 8080;

    public RbacVerdict Of(RbacEngine engine)
    {
        using var path = CanonicalPath.Read(Target);
        return engine.Evaluate(new RbacRequest
        {
            Method = Method,
            Path = path,
            Authority = Authority,
            Fields = this,
            Principal = Principal,
            Source = IpValue.Of(Source is null ? null : IPAddress.Parse(Source)),
            Destination = IpValue.Of(Destination is null ? null : IPAddress.Parse(Destination)),
            DestinationPort = Port,
        });
    }

    public static RbacEngine Engine(string json, RbacLayer layer = RbacLayer.Http)
    {
        var problems = new List<string>();
        var engine = RbacEngine.Build(JsonParser.Default.Parse<RBAC>(json), layer, problems);
        Assert.True(engine is not null, string.Join('\n', problems));
        return engine;
    }

    string? IRbacFields.Find(string name, out bool several)
    {
        var all = All(name);
        several = all.Count > 1;
        return all.Count == 0 ? null : all[0];
    }

    public IReadOnlyList<string> All(string name) =>
        [.. Headers.Where(h => h.Name.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(h => h.Value)];
}
