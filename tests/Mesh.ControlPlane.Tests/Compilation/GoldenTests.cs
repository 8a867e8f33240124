using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Google.Protobuf;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Compilation;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>
/// Everything the shop's nodes get, word for word: a change of what is sent shows as a change of a golden file, to be read before it is
/// accepted (run with MESH_UPDATE_GOLDEN=1).
/// </summary>
public sealed class GoldenTests
{
    private static readonly JsonFormatter Json = new(JsonFormatter.Settings.Default.WithTypeRegistry(XdsJson.Types).WithPreserveProtoFieldNames(true));
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    [Fact]
    public void Sidecar() => Compare("shop-sidecar.json", ShopWorld.World.For(ShopWorld.Node));

    [Fact]
    public void Grpc() => Compare("shop-grpc.json", ShopWorld.World.For(Compiled.GrpcNode()));

    [Fact]
    public void Secured() => Compare("secured-sidecar.json", SecuredShop.World.For(SecuredShop.Node));

    private static void Compare(string name, NodeConfig config, [CallerFilePath] string here = "")
    {
        var actual = Render(config);
        var file = Path.Combine(Path.GetDirectoryName(here)!, name);
        if (Environment.GetEnvironmentVariable("MESH_UPDATE_GOLDEN") == "1") File.WriteAllText(file, actual);
        Assert.Equal(File.ReadAllText(file), actual);
    }

    private static string Render(NodeConfig config)
    {
        var all = new JsonObject
        {
            ["listeners"] = Set(config.Listeners),
            ["routes"] = Set(config.Routes),
            ["clusters"] = Set(config.Clusters),
            ["endpoints"] = Set(config.Endpoints),
            ["notices"] = new JsonArray([.. config.Notices.Select(notice => (JsonNode)$"{notice.Source}: {notice.Text}")]),
        };
        return all.ToJsonString(Indented) + "\n";
    }

    private static JsonObject Set(ResourceSet set)
    {
        var json = new JsonObject();
        foreach (var item in set.Items) json[item.Name] = JsonNode.Parse(Json.Format(item.Body))!;
        return json;
    }
}
