using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;

namespace Mesh.Sidecar.Tests.Config;

/// <summary>What our control plane compiles, word for word as its own tests hold it in golden files, is what this sidecar takes.</summary>
public sealed class ControlPlaneResourcesTests
{
    [Theory]
    [InlineData("shop-sidecar.json")]
    [InlineData("secured-sidecar.json")]
    public void Golden_files_of_the_control_plane_are_accepted(string file)
    {
        var golden = JsonNode.Parse(File.ReadAllText(Golden(file)))!.AsObject();
        var errors = new ConfigErrors();
        var set = ResourceSet.Empty;
        foreach (var (kind, typeUrl) in new[] { ("clusters", TypeUrls.Cluster), ("endpoints", TypeUrls.ClusterLoadAssignment), ("listeners", TypeUrls.Listener), ("routes", TypeUrls.RouteConfiguration) })
        {
            var parser = new JsonParser(JsonParser.Settings.Default.WithTypeRegistry(XdsJson.Types));
            Any[] resources = [.. golden[kind]!.AsObject().Select(item => parser.Parse<Any>(item.Value!.ToJsonString()))];
            Assert.NotEmpty(resources);
            set = ResourceSetBuilder.With(set, typeUrl, "1", resources, errors);
        }

        Assert.Equal("", errors.ToString());
    }

    private static string Golden(string file, [CallerFilePath] string here = "") =>
        Path.Combine(Path.GetDirectoryName(here)!, "..", "..", "Mesh.ControlPlane.Tests", "Compilation", file);
}
